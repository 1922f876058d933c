/** Which deployment a command talks to, and with which credentials: flags first, then the environment, then the profile. */
import { usage } from './failure.ts';
import { checkProfileName, type Profile, readProfiles } from './profiles.ts';
import type { World } from './world.ts';

/** Flags that choose the deployment. */
export interface Target {
  readonly profile?: string | undefined;
  readonly url?: string | undefined;
  readonly customer?: string | undefined;
}

export interface Settings {
  readonly profile: string;
  readonly url: string | undefined;
  /** The URL of the profile, when a flag or a variable names another one: nothing of the profile counts then. */
  readonly profileUrl?: string | undefined;
  readonly customer: string | undefined;
  readonly clientId: string | undefined;
  readonly clientSecret: string | undefined;
  readonly scope: string | undefined;
  readonly operatorToken: string | undefined;
}

/** The profile of a command that names none, before any is current. */
const FIRST_PROFILE = 'default';

export const EVERYTHING = '*:webhooks/**';

export function profileNameOf({ env }: World, { profile }: Target): string {
  return checkProfileName(profile ?? (env['IW_PROFILE'] || readProfiles(env).current || FIRST_PROFILE));
}

/**
 * @throws Failure when `--profile` or `IW_PROFILE` names a profile that does not exist
 */
export function settingsOf(world: World, target: Target): Settings {
  const { env } = world;
  const name = profileNameOf(world, target);
  const { all } = readProfiles(env);
  const profile = all.get(name);
  if (profile === undefined && (target.profile ?? env['IW_PROFILE'])) {
    const names = [...all.keys()].join(', ');
    throw usage(
      `There is no profile ${name}.`,
      names === ''
        ? 'Make one: iw login URL'
        : `Choose one of: ${names}. Or make it: iw login URL --profile ${name}`,
    );
  }
  return merge(env, target, name, profile);
}

function merge(env: World['env'], target: Target, name: string, profile: Profile | undefined): Settings {
  const given = (variable: string) => env[variable] || undefined;
  const url = target.url ?? given('IW_URL');
  const chosen = url === undefined ? profile?.url : checkUrl(url);
  // What is stored for one deployment is never sent to another, nor a client's secret for another customer.
  const stored = chosen === profile?.url ? profile : undefined;
  const customer = checkCustomer(target.customer ?? given('IW_CUSTOMER') ?? stored?.customer);
  const client = customer === stored?.customer ? stored : undefined;
  const clientId = given('IW_CLIENT_ID') ?? client?.clientId;
  return {
    profile: name,
    url: chosen,
    profileUrl: stored === undefined ? profile?.url : undefined,
    customer,
    clientId,
    clientSecret:
      given('IW_CLIENT_SECRET') ?? (clientId === client?.clientId ? client?.clientSecret : undefined),
    scope: given('IW_SCOPE') ?? client?.scope,
    operatorToken: given('IW_OPERATOR_TOKEN') ?? stored?.operatorToken,
  };
}

/**
 * @returns the URL without a slash at its end
 * @throws Failure when it is not https; http is for this machine alone, because secrets travel with each call
 */
export function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw usage('The URL of the service must begin with https://', whole(text));
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw usage('The URL of the service has no user, no query and no fragment.');
  }
  if (url.protocol === 'http:' && !isThisMachine(url)) {
    throw usage(
      `${url.origin} is not encrypted, and secrets travel with each call.`,
      'Use https://. http:// is for this machine alone.',
    );
  }
  return url.href.replace(/\/+$/, '');
}

/** What somebody who left out the scheme may have meant. */
function whole(text: string): string {
  const meant = `https://${text}`;
  if (text.includes('://') || !URL.canParse(meant) || !/^[\w.-]+(:\d+)?(\/|$)/.test(text)) {
    return 'It is the BASE_URL of the deployment, such as https://webhooks.example.com';
  }
  const url = new URL(meant);
  return `Did you mean ${isThisMachine(url) ? url.origin.replace('https:', 'http:') : url.origin}?`;
}

/** Only there http is permitted. */
export function isThisMachine({ hostname }: URL): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

export function checkCustomer(id: string | undefined): string | undefined {
  if (id === undefined || isUuid(id)) return id;
  throw usage('The id of a customer is a UUID in lower case.', 'iw customers list shows the ids.');
}

export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
}
