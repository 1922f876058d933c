/** The program with its options and commands. Each noun has a file of its own in `commands`. */
import { Command } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import type { Begin } from './command.ts';
import { addAudit } from './commands/audit.ts';
import { addClients } from './commands/clients.ts';
import { addCustomers } from './commands/customers.ts';
import { addDeadLetters } from './commands/dead-letters.ts';
import { addEndpoints } from './commands/endpoints.ts';
import { addEvents } from './commands/events.ts';
import { addExports } from './commands/exports.ts';
import { addFilters } from './commands/filters.ts';
import { addImport } from './commands/import.ts';
import { addKeys } from './commands/keys.ts';
import { addLogin } from './commands/login.ts';
import { addMetrics } from './commands/metrics.ts';
import { addNotices } from './commands/notices.ts';
import { addProfiles } from './commands/profiles.ts';
import { addRedeliveries } from './commands/redeliveries.ts';
import { addShards } from './commands/shards.ts';
import { addStats } from './commands/stats.ts';
import { addSubscriptions } from './commands/subscriptions.ts';
import type { GlobalOptions, Session } from './session.ts';
import type { World } from './world.ts';

const GROUPS: readonly (readonly [string, readonly ((program: Command, begin: Begin) => void)[]])[] = [
  ['Where and as whom:', [addLogin, addProfiles]],
  ['For customers:', [addSubscriptions, addEvents, addRedeliveries, addExports, addFilters, addStats]],
  [
    'For operators:',
    [
      addCustomers,
      addClients,
      addKeys,
      addShards,
      addEndpoints,
      addMetrics,
      addDeadLetters,
      addNotices,
      addAudit,
    ],
  ],
  ['Moving here:', [addImport]],
];

/** Width of help where there is no terminal. */
const HELP_COLUMNS = 100;

/**
 * @param begin is called when a command starts, with the global options
 */
export function programOf(world: World, begin: (options: GlobalOptions) => Session): Command {
  const program = new Command('iw')
    .description('The command line of identity-webhooks, for operators and customers.')
    .version(manifest.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .option('--profile <name>', 'use this profile instead of the current one (IW_PROFILE)')
    .option('--url <url>', 'the BASE_URL of the service (IW_URL)')
    .option('--customer <id>', 'the customer to act for, or to act on as the operator (IW_CUSTOMER)')
    .option(
      '--request-id <id>',
      'send this X-Request-Id: who you are and why, such as alice-ticket-7; the log and the audit trail keep it (IW_REQUEST_ID)',
    )
    .option('--json', 'print JSON for machines')
    .option('-q, --quiet', 'print ids alone, and no progress')
    .option('-y, --yes', 'do not ask before what cannot be undone')
    .option('--debug', 'show where an error comes from')
    .helpCommand('help [command]', 'show the help of a command')
    .configureHelp({
      subcommandTerm: (command) => `${command.name()} ${usageOf(command)}`.trim(),
      subcommandDescription: (command) => command.summary() || firstSentence(command.description()),
    })
    .configureOutput({
      writeOut: (text) => void world.out.write(text),
      writeErr: (text) => void world.err.write(text),
      getOutHelpWidth: () => world.out.columns ?? HELP_COLUMNS,
      getErrHelpWidth: () => world.err.columns ?? HELP_COLUMNS,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      // run.ts reports the faults that the parser finds, like all others.
      outputError: () => undefined,
    })
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError(false);
  program.addHelpText(
    'after',
    `
Begin with: iw login URL
More: docs/command-line.md`,
  );
  const start: Begin = () => begin(program.opts<GlobalOptions>());
  for (const [heading, adds] of GROUPS) {
    program.commandsGroup(heading);
    for (const add of adds) add(program, start);
  }
  return program;
}

function firstSentence(text: string): string {
  return text.replace(/(?:\. |: |\.$)[\s\S]*/, '');
}

/** The arguments of a command, as its help shows them. */
function usageOf(command: Command): string {
  return command.registeredArguments
    .map((argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`))
    .join(' ');
}
