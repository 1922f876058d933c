/** A profile has one client and one operator token. Nobody can read a secret later, so nothing takes its place unasked. */
import { usage } from './failure.ts';
import type { Profile } from './profiles.ts';
import { isInteractive } from './prompt.ts';
import type { Session } from './session.ts';

/**
 * Asks before another client takes the place of the profile's client, if its secret is in the profile.
 * @param next the client that logs in; without an id it is a new one
 * @throws Failure when nobody agrees
 */
export async function replaceClient(
  session: Session,
  name: string,
  { customer, clientId, clientSecret }: Profile,
  next: { readonly customer: string | undefined; readonly clientId?: string },
): Promise<void> {
  if (clientSecret === undefined || (customer === next.customer && clientId === next.clientId)) return;
  const whose = `client ${clientId} of customer ${customer}`;
  await agreeToLose(
    session,
    `the profile ${name} has the secret of ${whose}, and it would be lost.`,
    `The profile ${name} has the secret of ${whose}. Replace it?`,
  );
}

/**
 * Asks before another service takes the place of the profile's, if it has secrets.
 * @throws Failure when nobody agrees
 */
export async function replaceService(
  session: Session,
  name: string,
  { url, clientSecret, operatorToken }: Profile,
  next: string,
): Promise<void> {
  if (clientSecret === undefined && operatorToken === undefined) return;
  await agreeToLose(
    session,
    `the profile ${name} is for ${url}, and its secrets would be lost.`,
    `The profile ${name} is for ${url}. Replace it, with its secrets, by ${next}?`,
  );
}

async function agreeToLose(session: Session, loss: string, question: string): Promise<void> {
  if (!session.options.yes && !isInteractive(session.world)) {
    throw usage(`Not done: ${loss}`, 'Keep it with --profile OTHER, or replace it with --yes.');
  }
  await session.confirm(question);
}
