/** The types of the runtime's own modules in tests. */
import type { D1Migration } from 'cloudflare:test';
import type { Env } from '../../src/env.ts';

declare global {
  namespace Cloudflare {
    interface Env extends ServiceEnv {
      TEST_MIGRATIONS: D1Migration[];
    }
    interface GlobalProps {
      mainModule: typeof import('../../src/index.ts');
    }
  }
}

type ServiceEnv = Env;
