/** `iw profiles`: several deployments, one of them the current one. */
import type { Command } from 'commander';
import { type Begin, examples } from '../command.ts';
import { Failure } from '../failure.ts';
import { readProfiles, writeProfiles } from '../profiles.ts';

export function addProfiles(program: Command, begin: Begin): void {
  const profiles = program
    .command('profiles')
    .summary('list profiles, choose the current one')
    .description('Profiles: several deployments and credentials, one of them the current one.');
  examples(
    profiles
      .command('list')
      .description('Lists the profiles, without their secrets.')
      .action(() => {
        const session = begin();
        const { current, all } = readProfiles(session.world.env);
        const items = [...all].map(([name, { url, customer, clientId, operatorToken }]) => ({
          name,
          current: name === current,
          url,
          customer,
          clientId,
          operator: operatorToken !== undefined,
        }));
        session.list({
          items,
          columns: [
            { title: '', of: (one) => (one.current ? '*' : '') },
            { title: 'NAME', of: ({ name }) => name },
            { title: 'URL', of: ({ url }) => url, shrinks: true },
            { title: 'CUSTOMER', of: ({ customer }) => customer },
            { title: 'CLIENT', of: ({ clientId }) => clientId, shrinks: true },
            { title: 'OPERATOR', of: ({ operator }) => (operator ? 'yes' : '') },
          ],
          idOf: ({ name }) => name,
          none: 'profiles',
        });
      }),
    'iw profiles list',
  );
  examples(
    profiles
      .command('use')
      .description('Makes a profile the current one.')
      .argument('<name>', 'a profile')
      .action((name: string) => {
        const session = begin();
        const { all } = readProfiles(session.world.env);
        if (!all.has(name))
          throw new Failure('notFound', `There is no profile ${name}.`, 'See all: iw profiles list');
        writeProfiles(session.world.env, { current: name, all });
        session.done(`The current profile is ${name}.`, { profile: name, current: true });
      }),
    'iw profiles use production',
  );
}
