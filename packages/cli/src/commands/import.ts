import type { Command } from 'commander';
import type { Begin } from '../command.ts';
export function addImport(_program: Command, _begin: Begin): void {}
