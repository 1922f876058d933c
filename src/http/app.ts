/**
 * The HTTP face of the service: middleware in the order of decision (contract 8), then every noun's routes.
 * Wiring only.
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import { readConfig } from '../config.ts';
import type { AddressCheck } from '../outbound/address-check.ts';
import { openDatabase } from '../storage/database.ts';
import { authorizeClient, authorizeOperator } from './auth.ts';
import { addClients } from './clients.ts';
import type { AppEnv } from './context.ts';
import { addCustomers } from './customers.ts';
import { addDeadLetters } from './dead-letters.ts';
import { answerError, handleError, refuseInvalid } from './errors.ts';
import { addEvents } from './events.ts';
import { addExports } from './exports.ts';
import { addHealth } from './health.ts';
import { addJwk } from './jwk.ts';
import { addOpenApi } from './openapi.ts';
import { addPublish } from './publish.ts';
import { addRedeliveries } from './redeliveries.ts';
import { addSigningKeys } from './signing-keys.ts';
import { addSubscriptions } from './subscriptions.ts';
import { addSummary } from './summary.ts';
import { addTestNotification } from './test-notification.ts';
import { addTokens } from './tokens.ts';

/** @param checkAddress how endpoints' hosts are judged; tests bring a resolver of their own */
export function createApp(checkAddress: AddressCheck): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  app.use(requestId());
  app.use(secureHeaders());
  app.onError(handleError);
  app.notFound((c) => answerError(c, { code: 'not_found', what: 'Route' }));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, allow) => answerError(c, { code: 'method_not_allowed', allow }),
    }),
  );
  app.use(async (c, next) => {
    c.set('config', readConfig(c.env));
    c.set('db', openDatabase(c.env.DB));
    c.set('checkAddress', checkAddress);
    await next();
  });
  app.use('/operator/*', authorizeOperator);
  app.use('/:cid/webhooks/*', authorizeClient);

  addHealth(app);
  addOpenApi(app);
  addTokens(app);
  addJwk(app);
  addSubscriptions(app);
  addSummary(app);
  addTestNotification(app);
  addEvents(app);
  addExports(app);
  addRedeliveries(app);
  addPublish(app);
  addCustomers(app);
  addClients(app);
  addDeadLetters(app);
  addSigningKeys(app);
  return app;
}
