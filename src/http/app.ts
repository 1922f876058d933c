/**
 * The HTTP face of the service: middleware in the order of decision (contract 8), then every noun's routes.
 * Wiring only.
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import type { AddressCheck } from '../outbound/address-check.ts';
import { createServices } from '../services.ts';
import { authorizeClient, authorizeOperator } from './kit/auth.ts';
import type { AppEnv } from './kit/context.ts';
import { answerError, handleError, refuseInvalid } from './kit/errors.ts';
import { addEvents } from './management/events.ts';
import { addExports } from './management/exports.ts';
import { addPublish } from './management/publish.ts';
import { addRedeliveries } from './management/redeliveries.ts';
import { addSubscriptions } from './management/subscriptions.ts';
import { addSummary } from './management/summary.ts';
import { addTestNotification } from './management/test-notification.ts';
import { addClients } from './operator/clients.ts';
import { addCustomers } from './operator/customers.ts';
import { addDeadLetters } from './operator/dead-letters.ts';
import { addSigningKeys } from './operator/signing-keys.ts';
import { addHealth } from './public/healthz.ts';
import { addJwk } from './public/jwk.ts';
import { addOpenApi } from './public/openapi.ts';
import { addTokens } from './public/tokens.ts';

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
    c.set('services', createServices(c.env, checkAddress));
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
