import { join } from 'node:path';
import { unstable_readConfig } from 'wrangler';
import { type Consumer, type Deployment, NO_WAIT_FLAG, ROOT } from './platform.ts';

/** wrangler.toml as data: a queue, a binding or a limit that is added there is in the model too. */
export function readDeployment(): Deployment {
  const config = unstable_readConfig({ config: join(ROOT, 'wrangler.toml') }, { hideWarnings: true });
  const { cpu_ms: cpuMs = 30_000, subrequests = 10_000 } = config.limits ?? {};
  return {
    producers: (config.queues.producers ?? []) as Deployment['producers'],
    consumers: (config.queues.consumers ?? []) as readonly Consumer[],
    objects: config.durable_objects.bindings,
    databases: config.d1_databases as Deployment['databases'],
    rateLimits: config.ratelimits ?? [],
    vars: config.vars as Deployment['vars'],
    cpuMs,
    subrequests,
    waitsForWaitUntil: !config.compatibility_flags.includes(NO_WAIT_FLAG),
  };
}
