/** The types of docs/openapi.json. `npm run openapi` makes this file: change the routes, not the file. */
export interface paths {
    readonly "/healthz": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Is the service up? */
        readonly get: operations["getHealth"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/openapi.json": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** This document */
        readonly get: operations["getOpenApi"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/.well-known/security.txt": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Where to report a fault */
        readonly get: operations["getSecurityTxt"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/login/token": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /** Get an access token */
        readonly post: operations["createToken"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/login/jwk": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * Public keys
         * @description Listeners verify the security event tokens of this customer with these keys.
         */
        readonly get: operations["getPublicKeys"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * List subscriptions
         * @description All subscriptions, oldest first; with `page`, a hundred at a time. An invalid page number means the last page.
         */
        readonly get: operations["listSubscriptions"];
        readonly put?: never;
        /** Create a subscription */
        readonly post: operations["createSubscription"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Read a subscription */
        readonly get: operations["getSubscription"];
        readonly put?: never;
        readonly post?: never;
        /**
         * Delete a subscription
         * @description Deletes every stored event of it, too.
         */
        readonly delete: operations["deleteSubscription"];
        readonly options?: never;
        readonly head?: never;
        /**
         * Modify a subscription
         * @description A merge patch (RFC 7396): only the members that are supplied change.
         */
        readonly patch: operations["updateSubscription"];
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/summary": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Counts of the last seven days */
        readonly get: operations["getSummary"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/stats": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * Figures of a subscription by hour
         * @description Delivered, failed, attempts and answer times of up to seven days, and what waits.
         */
        readonly get: operations["getSubscriptionStats"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/stats": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * Figures of all subscriptions by hour
         * @description A page asks the event stores of up to `limit` subscriptions, the oldest first.
         */
        readonly get: operations["listStats"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/test": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Send a test notification
         * @description Sent whatever `events` and `filter` of the subscription say. Stored before the answer, and retried like any event. A 2xx verifies an endpoint that is `unverified`.
         */
        readonly post: operations["sendTest"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/events": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * List events
         * @description Oldest first unless `order` says otherwise, up to 1,000. `next` is present when there are, or may be, more. A list ends early when it takes long, goes through many events to find few, or needs more work than the customer has left.
         */
        readonly get: operations["listEvents"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/events/{eid}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Read an event */
        readonly get: operations["getEvent"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/events/{eid}/history": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * Read an event's history
         * @description One entry for each change of state, oldest first.
         */
        readonly get: operations["getEventHistory"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/events/{eid}/redeliver": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Redeliver a failed event
         * @description Sends the stored token again, byte for byte; the schedule of attempts starts again.
         */
        readonly post: operations["redeliverEvent"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/events/{eid}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * Find out where an event went
         * @description The deliveries of one event, one for each subscription that has it. A page asks the event stores of up to `limit` subscriptions, so it may be empty and still have `next`.
         */
        readonly get: operations["listDeliveries"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/exports": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** List exports */
        readonly get: operations["listExports"];
        readonly put?: never;
        /**
         * Start an export of failed events
         * @description Each failed event is exported only once, ever. One job at a time, and one completed job a day.
         */
        readonly post: operations["startExport"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/exports/{exportId}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Read an export */
        readonly get: operations["getExport"];
        readonly put?: never;
        readonly post?: never;
        /**
         * Cancel an export
         * @description A later export may take its events.
         */
        readonly delete: operations["cancelExport"];
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/exports/{exportId}/download": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * Download an export
         * @description One line for each event: the event resource without `_links`.
         */
        readonly get: operations["downloadExport"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/redeliveries": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** List bulk redeliveries */
        readonly get: operations["listRedeliveries"];
        readonly put?: never;
        /**
         * Redeliver failed events
         * @description Redelivers every event in `failure` of the span, oldest first, at a pace that the listener can take; without a body, every event in `failure`. One job at a time. With `"dryRun": true` nothing is sent: the answer is a 200 that says what a job would redeliver.
         */
        readonly post: operations["startRedelivery"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/subscriptions/{sid}/redeliveries/{redeliveryId}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Read a bulk redelivery */
        readonly get: operations["getRedelivery"];
        readonly put?: never;
        readonly post?: never;
        /**
         * Cancel a bulk redelivery
         * @description Events that the job has released already are still sent.
         */
        readonly delete: operations["cancelRedelivery"];
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/filter-tests": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Test a filter on an event
         * @description Judges the filter as a subscription does and the event as a publish does. Nothing is stored or sent. It takes a unit of costly work.
         */
        readonly post: operations["testFilter"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/{cid}/webhooks/events": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Publish events
         * @description One event, or an array of 1 to 500: the service accepts all of them, or none. 202 means that they are durably queued. After a 503, repeat the call with the same ids.
         */
        readonly post: operations["publishEvents"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/customers": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * List customers
         * @description Oldest first, a hundred to a page.
         */
        readonly get: operations["listCustomers"];
        readonly put?: never;
        /**
         * Create a customer
         * @description Makes three RSA keys for it, and with `EdDSA` two Ed25519 keys, which sign at once.
         */
        readonly post: operations["createCustomer"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/customers/{cid}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Read a customer */
        readonly get: operations["getCustomer"];
        readonly put?: never;
        readonly post?: never;
        /**
         * Erase a customer
         * @description Deletes its clients, keys and subscriptions, and erases every event store of theirs.
         */
        readonly delete: operations["eraseCustomer"];
        readonly options?: never;
        readonly head?: never;
        /**
         * Change the signing algorithm of a customer
         * @description A merge patch (RFC 7396). `EdDSA` publishes Ed25519 keys at once, and they sign after 24 hours, when every listener knows them. `RS256` signs at once.
         */
        readonly patch: operations["updateCustomer"];
        readonly trace?: never;
    };
    readonly "/operator/customers/{cid}/clients": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** List clients */
        readonly get: operations["listClients"];
        readonly put?: never;
        /** Create a client */
        readonly post: operations["createClient"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/customers/{cid}/clients/{clientId}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        readonly post?: never;
        /**
         * Delete a client
         * @description Its access tokens stop within 60 seconds.
         */
        readonly delete: operations["deleteClient"];
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/customers/{cid}/clients/{clientId}/rotate-secret": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Replace a client's secret
         * @description The old secret and the tokens given for it end at once, or after `keepOldSeconds`.
         */
        readonly post: operations["rotateClientSecret"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/customers/{cid}/console-links": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Create a link into the console
         * @description The browser that opens the link first is signed in as an administrator of the customer.
         */
        readonly post: operations["createConsoleLink"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/dead-letters": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * List dead letters
         * @description Oldest first, a hundred to a page, without their bodies.
         */
        readonly get: operations["listDeadLetters"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/dead-letters/{id}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Read a dead letter */
        readonly get: operations["getDeadLetter"];
        readonly put?: never;
        readonly post?: never;
        /** Drop a dead letter */
        readonly delete: operations["dropDeadLetter"];
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/dead-letters/{id}/replay": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Replay a dead letter
         * @description Queues the event again under its old id and time of acceptance, and takes the letter off the list.
         */
        readonly post: operations["replayDeadLetter"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/customers/{cid}/signing-keys/rotate": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Rotate a customer's signing keys
         * @description The next key signs from now on. The key that signed before stays published for 35 days. EdDSA keys rotate with the RSA keys.
         */
        readonly post: operations["rotateSigningKeys"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/signing-keys/reseal": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Seal every private key again
         * @description Seals them under the current KEY_ENCRYPTION_KEY, so that KEY_ENCRYPTION_KEY_PREVIOUS can be removed. Safe to repeat: repeat the call until `remaining` is 0.
         */
        readonly post: operations["resealSigningKeys"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/customers/{cid}/subscriptions/adopt-again": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Make event stores adopt a customer's subscriptions again
         * @description For a database that was restored to an earlier time: event stores go by the newer rows that they have seen.
         */
        readonly post: operations["adoptSubscriptionsAgain"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/customers/{cid}/subscriptions/{sid}": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Read how many event stores a subscription has */
        readonly get: operations["getShards"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        /**
         * Give a hot subscription several event stores
         * @description Events whose ids have a time of 15 minutes from now, or a later one, are kept in so many event stores. What is stored stays where it is. A repeat changes nothing.
         */
        readonly patch: operations["updateShards"];
        readonly trace?: never;
    };
    readonly "/operator/audit": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * Read the audit trail
         * @description The newest entry first. `next` is present when there are more. Entries are kept for 90 days.
         */
        readonly get: operations["listAuditEntries"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/stats": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Figures of the whole service */
        readonly get: operations["getOperatorStats"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/metrics": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** The same figures as text for Prometheus */
        readonly get: operations["getMetrics"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/endpoints": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /**
         * List endpoints in trouble
         * @description Of the enabled subscriptions of all customers: the oldest trouble first, a hundred to a page.
         */
        readonly get: operations["listEndpoints"];
        readonly put?: never;
        readonly post?: never;
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/operator/notices": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Where notices go */
        readonly get: operations["getNotices"];
        /**
         * Set up notices
         * @description Signed notices go to the endpoint when an endpoint of a customer begins to fail, when it fails no longer, and when events have failed.
         */
        readonly put: operations["setNotices"];
        readonly post?: never;
        /**
         * End notices
         * @description Erases their customer, with its keys, its subscriptions and every notice that is stored.
         */
        readonly delete: operations["eraseNotices"];
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/console/session": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        /** Who is signed in? */
        readonly get: operations["getConsoleSession"];
        readonly put?: never;
        /**
         * Sign in to the console
         * @description With the code of a link, with the credentials of a client, or with the operator token.
         */
        readonly post: operations["createConsoleSession"];
        /**
         * Sign out
         * @description The access tokens of the session end within 60 seconds.
         */
        readonly delete: operations["deleteConsoleSession"];
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly "/console/token": {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * Get an access token for the page
         * @description A customer's token works on the calls of that customer, an operator's under `/operator`.
         */
        readonly post: operations["createConsoleToken"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
}
export interface webhooks {
    readonly entityCreated: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * A profile was created
         * @description Verify the token with the keys of `/{cid}/login/jwk`, its issuer and its audience. Any 2xx within the time limit is a success; a redirect is a failure, and every other answer is retried.
         */
        readonly post: operations["receiveEntityCreated"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly entityUpdated: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * A profile was changed
         * @description Verify the token with the keys of `/{cid}/login/jwk`, its issuer and its audience. Any 2xx within the time limit is a success; a redirect is a failure, and every other answer is retried.
         */
        readonly post: operations["receiveEntityUpdated"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly entityDeleted: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * A profile was deleted
         * @description Verify the token with the keys of `/{cid}/login/jwk`, its issuer and its audience. Any 2xx within the time limit is a success; a redirect is a failure, and every other answer is retried.
         */
        readonly post: operations["receiveEntityDeleted"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly test: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * A test notification
         * @description Verify the token with the keys of `/{cid}/login/jwk`, its issuer and its audience. Any 2xx within the time limit is a success; a redirect is a failure, and every other answer is retried.
         */
        readonly post: operations["receiveTest"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly endpointFailing: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * A notice for the operator: an endpoint began to fail
         * @description Verify the token with the keys of `/{cid}/login/jwk`, its issuer and its audience. Any 2xx within the time limit is a success; a redirect is a failure, and every other answer is retried.
         */
        readonly post: operations["receiveEndpointFailing"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly endpointRecovered: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * A notice for the operator: an endpoint fails no longer
         * @description Verify the token with the keys of `/{cid}/login/jwk`, its issuer and its audience. Any 2xx within the time limit is a success; a redirect is a failure, and every other answer is retried.
         */
        readonly post: operations["receiveEndpointRecovered"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
    readonly eventsExpired: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly get?: never;
        readonly put?: never;
        /**
         * A notice for the operator: events of a subscription have failed
         * @description Verify the token with the keys of `/{cid}/login/jwk`, its issuer and its audience. Any 2xx within the time limit is a success; a redirect is a failure, and every other answer is retried.
         */
        readonly post: operations["receiveEventsExpired"];
        readonly delete?: never;
        readonly options?: never;
        readonly head?: never;
        readonly patch?: never;
        readonly trace?: never;
    };
}
export interface components {
    schemas: {
        /** @description the error of RFC 8935, 2.4 */
        readonly ListenerError: {
            /** @description such as `invalid_request`, `invalid_key`, `invalid_issuer` or `invalid_audience` */
            readonly err: string;
            readonly description?: string;
        };
        readonly Problem: {
            /** @description a client decides by it where a status has several */
            readonly type?: string;
            readonly status: number;
            readonly title: string;
            /** @description for people; may change */
            readonly details?: string;
            readonly "invalid-body-params"?: readonly components["schemas"]["Fault"][];
            readonly "invalid-query-params"?: readonly components["schemas"]["Fault"][];
        };
        readonly Fault: {
            readonly name: string;
            readonly reason: string;
        };
        readonly Forbidden: {
            /** @enum {string} */
            readonly errors: "Forbidden";
        };
        readonly EntityCreatedClaims: {
            /** @description the endpoint, as configured */
            readonly aud: readonly string[];
            readonly events: {
                readonly entityCreated: {
                    readonly captureApplicationId: string;
                    readonly captureClientId: string;
                    readonly entityType: string;
                    readonly globalSub: string;
                    /**
                     * Format: uuid
                     * @description event id
                     */
                    readonly id: string;
                    /**
                     * Format: uuid
                     * @description the profile's id
                     */
                    readonly sub: string;
                    /**
                     * @description of an example alone, which the customer asked for: there is no such profile
                     * @enum {boolean}
                     */
                    readonly test?: true;
                };
            };
            /** @description when the event was accepted, in seconds */
            readonly iat: number;
            /** @description {BASE_URL}/{CID}/webhooks */
            readonly iss: string;
            /**
             * Format: uuid
             * @description the same in every retry and redelivery: drop repeats by it
             */
            readonly jti: string;
            /** @description when the event happened, in seconds */
            readonly toe: number;
        };
        readonly EntityUpdatedClaims: {
            /** @description the endpoint, as configured */
            readonly aud: readonly string[];
            readonly events: {
                readonly entityUpdated: {
                    /** @description names of the changed attributes; never their values */
                    readonly attributes: readonly string[];
                    readonly captureApplicationId: string;
                    readonly captureClientId: string;
                    readonly entityType: string;
                    readonly globalSub: string;
                    /**
                     * Format: uuid
                     * @description event id
                     */
                    readonly id: string;
                    /**
                     * Format: uuid
                     * @description the profile's id
                     */
                    readonly sub: string;
                    /**
                     * @description of an example alone, which the customer asked for: there is no such profile
                     * @enum {boolean}
                     */
                    readonly test?: true;
                };
            };
            /** @description when the event was accepted, in seconds */
            readonly iat: number;
            /** @description {BASE_URL}/{CID}/webhooks */
            readonly iss: string;
            /**
             * Format: uuid
             * @description the same in every retry and redelivery: drop repeats by it
             */
            readonly jti: string;
            /** @description when the event happened, in seconds */
            readonly toe: number;
        };
        readonly EntityDeletedClaims: {
            /** @description the endpoint, as configured */
            readonly aud: readonly string[];
            readonly events: {
                readonly entityDeleted: {
                    readonly captureApplicationId: string;
                    readonly captureClientId: string;
                    readonly entityType: string;
                    readonly globalSub: string;
                    /**
                     * Format: uuid
                     * @description event id
                     */
                    readonly id: string;
                    /**
                     * Format: uuid
                     * @description the profile's id
                     */
                    readonly sub: string;
                    /**
                     * @description of an example alone, which the customer asked for: there is no such profile
                     * @enum {boolean}
                     */
                    readonly test?: true;
                };
            };
            /** @description when the event was accepted, in seconds */
            readonly iat: number;
            /** @description {BASE_URL}/{CID}/webhooks */
            readonly iss: string;
            /**
             * Format: uuid
             * @description the same in every retry and redelivery: drop repeats by it
             */
            readonly jti: string;
            /** @description when the event happened, in seconds */
            readonly toe: number;
        };
        readonly TestClaims: {
            /** @description the endpoint, as configured */
            readonly aud: readonly string[];
            readonly events: {
                readonly test: {
                    /**
                     * Format: uuid
                     * @description event id
                     */
                    readonly id: string;
                };
            };
            /** @description when the event was accepted, in seconds */
            readonly iat: number;
            /** @description {BASE_URL}/{CID}/webhooks */
            readonly iss: string;
            /**
             * Format: uuid
             * @description the same in every retry and redelivery: drop repeats by it
             */
            readonly jti: string;
            /** @description when the event happened, in seconds */
            readonly toe: number;
        };
        readonly EndpointFailingClaims: {
            /** @description the endpoint, as configured */
            readonly aud: readonly string[];
            readonly events: {
                readonly endpointFailing: {
                    /**
                     * Format: uuid
                     * @description whose subscription it is
                     */
                    readonly customerId: string;
                    /**
                     * Format: uuid
                     * @description event id
                     */
                    readonly id: string;
                    /**
                     * Format: date-time
                     * @description since when the endpoint is in this state
                     */
                    readonly since?: string;
                    /**
                     * @description of the endpoint
                     * @enum {string}
                     */
                    readonly state: "healthy" | "slow" | "failing" | "unverified";
                    /** Format: uuid */
                    readonly subscriptionId: string;
                    /** @description of the subscription */
                    readonly title: string;
                    /** @description deliveries that are not final */
                    readonly waiting: number;
                };
            };
            /** @description when the event was accepted, in seconds */
            readonly iat: number;
            /** @description {BASE_URL}/{CID}/webhooks */
            readonly iss: string;
            /**
             * Format: uuid
             * @description the same in every retry and redelivery: drop repeats by it
             */
            readonly jti: string;
            /** @description when the event happened, in seconds */
            readonly toe: number;
        };
        readonly EndpointRecoveredClaims: {
            /** @description the endpoint, as configured */
            readonly aud: readonly string[];
            readonly events: {
                readonly endpointRecovered: {
                    /**
                     * Format: uuid
                     * @description whose subscription it is
                     */
                    readonly customerId: string;
                    /**
                     * Format: uuid
                     * @description event id
                     */
                    readonly id: string;
                    /**
                     * Format: date-time
                     * @description since when the endpoint is in this state
                     */
                    readonly since?: string;
                    /**
                     * @description of the endpoint
                     * @enum {string}
                     */
                    readonly state: "healthy" | "slow" | "failing" | "unverified";
                    /** Format: uuid */
                    readonly subscriptionId: string;
                    /** @description of the subscription */
                    readonly title: string;
                    /** @description deliveries that are not final */
                    readonly waiting: number;
                };
            };
            /** @description when the event was accepted, in seconds */
            readonly iat: number;
            /** @description {BASE_URL}/{CID}/webhooks */
            readonly iss: string;
            /**
             * Format: uuid
             * @description the same in every retry and redelivery: drop repeats by it
             */
            readonly jti: string;
            /** @description when the event happened, in seconds */
            readonly toe: number;
        };
        readonly EventsExpiredClaims: {
            /** @description the endpoint, as configured */
            readonly aud: readonly string[];
            readonly events: {
                readonly eventsExpired: {
                    /** @description those since the last such notice */
                    readonly count: number;
                    /**
                     * Format: uuid
                     * @description whose subscription it is
                     */
                    readonly customerId: string;
                    /**
                     * Format: uuid
                     * @description event id
                     */
                    readonly id: string;
                    /**
                     * Format: date-time
                     * @description since when the endpoint is in this state
                     */
                    readonly since?: string;
                    /**
                     * @description of the endpoint
                     * @enum {string}
                     */
                    readonly state: "healthy" | "slow" | "failing" | "unverified";
                    /** Format: uuid */
                    readonly subscriptionId: string;
                    /** @description of the subscription */
                    readonly title: string;
                    /** @description deliveries that are not final */
                    readonly waiting: number;
                    /** @description those since the event store began to count */
                    readonly total: number;
                };
            };
            /** @description when the event was accepted, in seconds */
            readonly iat: number;
            /** @description {BASE_URL}/{CID}/webhooks */
            readonly iss: string;
            /**
             * Format: uuid
             * @description the same in every retry and redelivery: drop repeats by it
             */
            readonly jti: string;
            /** @description when the event happened, in seconds */
            readonly toe: number;
        };
        readonly Health: {
            /** @enum {string} */
            readonly status: "ok";
        };
        readonly AccessToken: {
            readonly access_token: string;
            /**
             * @description seconds
             * @enum {integer}
             */
            readonly expires_in: 3600;
            /** @enum {string} */
            readonly token_type: "Bearer";
            readonly scope: string;
        };
        readonly OAuthError: {
            /** @enum {string} */
            readonly error: "invalid_request" | "unsupported_grant_type" | "invalid_scope" | "invalid_client" | "temporarily_unavailable";
            /** @description for people */
            readonly error_description?: string;
        };
        readonly TokenRequest: {
            /** @enum {string} */
            readonly grant_type: "client_credentials";
            /** @example *:webhooks/** */
            readonly scope: string;
        };
        readonly JsonWebKeySet: {
            readonly keys: readonly (components["schemas"]["RsaKey"] | components["schemas"]["Ed25519Key"])[];
        };
        readonly RsaKey: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            readonly kty: "RSA";
            /** @enum {string} */
            readonly use: "sig";
            /** @enum {string} */
            readonly alg: "RS256";
            /** @example 0f9d8c7b6a5948372615040302010f0e0d0c0b0a */
            readonly kid: string;
            readonly n: string;
            readonly e: string;
        };
        readonly Ed25519Key: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            readonly kty: "OKP";
            /** @enum {string} */
            readonly crv: "Ed25519";
            /** @enum {string} */
            readonly use: "sig";
            /** @enum {string} */
            readonly alg: "EdDSA";
            /** @example 0f9d8c7b6a5948372615040302010f0e0d0c0b0a */
            readonly kid: string;
            readonly x: string;
        };
        readonly SubscriptionList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly subscriptions: readonly components["schemas"]["Subscription"][];
            };
        };
        /** @description each is present where the contract says so */
        readonly CollectionLinks: {
            readonly self: components["schemas"]["Link"];
            readonly first?: components["schemas"]["Link"];
            readonly prev?: components["schemas"]["Link"];
            readonly next?: components["schemas"]["Link"];
            readonly last?: components["schemas"]["Link"];
            readonly event?: components["schemas"]["Link"];
        };
        readonly Link: {
            /**
             * Format: uri-reference
             * @description a path, without scheme and host
             */
            readonly href: string;
        };
        readonly Subscription: {
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly events: components["schemas"]["Link"];
                readonly test: components["schemas"]["Link"];
                readonly summary: components["schemas"]["Link"];
            };
            /** Format: date-time */
            readonly createdAt: string;
            /** Format: uuid */
            readonly customerId: string;
            readonly enabled: boolean;
            readonly endpoint: string;
            readonly events: readonly ("entityCreated" | "entityUpdated" | "entityDeleted")[];
            readonly filter?: {
                readonly [key: string]: unknown;
            };
            /** @description how the endpoint is doing, or that it has not been verified; a list shows the state alone */
            readonly health: {
                /** @enum {string} */
                readonly state: "healthy" | "slow" | "failing" | "unverified";
                /** Format: date-time */
                readonly since?: string;
                /** @description events that are not final */
                readonly waiting?: number;
            };
            /** Format: uuid */
            readonly id: string;
            readonly title: string;
            /** Format: date-time */
            readonly updatedAt: string;
        };
        readonly NewSubscription: {
            /** @example Profile sync */
            readonly title: string;
            /**
             * @description an https URL; `http` only where the operator permits it for development
             * @example https://listener.example.com/hooks
             */
            readonly endpoint: string;
            readonly events: readonly ("entityCreated" | "entityUpdated" | "entityDeleted")[];
            /** @description true without it */
            readonly enabled?: boolean;
            /** @description JSON Schema (draft-07 subset) for the `events` claim; null: every event passes */
            readonly filter?: {
                readonly [key: string]: unknown;
            } | null;
        };
        readonly SubscriptionChange: {
            /** @example Profile sync */
            readonly title?: string;
            /**
             * @description an https URL; `http` only where the operator permits it for development
             * @example https://listener.example.com/hooks
             */
            readonly endpoint?: string;
            readonly events?: readonly ("entityCreated" | "entityUpdated" | "entityDeleted")[];
            readonly enabled?: boolean;
            /** @description JSON Schema (draft-07 subset) for the `events` claim; null: every event passes */
            readonly filter?: {
                readonly [key: string]: unknown;
            } | null;
        };
        readonly Summary: {
            /** Format: date-time */
            readonly updatedAt: string;
            readonly total: number;
            readonly succeeded: number;
            readonly retrying: number;
            readonly failed: number;
            /** @description failed, never exported */
            readonly exportable: number;
        };
        readonly SubscriptionStats: {
            /**
             * Format: date-time
             * @description the beginning of the first hour
             */
            readonly from: string;
            /** Format: date-time */
            readonly until: string;
            readonly answerTimeBoundsMs: readonly number[];
            /** @description false: not everything is counted yet, the figures are at least these */
            readonly exact: boolean;
            readonly totals: components["schemas"]["Figures"];
            /** @description events that are not final */
            readonly waiting: number;
            /**
             * Format: date-time
             * @description absent: none waits
             */
            readonly oldestWaitingAt?: string;
            /**
             * Format: date-time
             * @description absent: none in the last seven days
             */
            readonly lastDeliveredAt?: string;
            /** @description each hour, oldest first; the running one is the last */
            readonly hours: readonly components["schemas"]["HourFigures"][];
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly subscription: components["schemas"]["Link"];
            };
        };
        readonly Figures: {
            /** @description deliveries that became a success */
            readonly delivered: number;
            /** @description deliveries that became a failure */
            readonly failed: number;
            /** @description requests that ended */
            readonly attempts: number;
            /** @description successful requests by answer time: element i has those that took at most answerTimeBoundsMs[i], the last one the rest */
            readonly answerTimes: readonly number[];
        };
        readonly HourFigures: {
            /** @description deliveries that became a success */
            readonly delivered: number;
            /** @description deliveries that became a failure */
            readonly failed: number;
            /** @description requests that ended */
            readonly attempts: number;
            /** @description successful requests by answer time: element i has those that took at most answerTimeBoundsMs[i], the last one the rest */
            readonly answerTimes: readonly number[];
            /** Format: date-time */
            readonly hour: string;
        };
        readonly CustomerStats: {
            /**
             * Format: date-time
             * @description the beginning of the first hour
             */
            readonly from: string;
            /** Format: date-time */
            readonly until: string;
            readonly answerTimeBoundsMs: readonly number[];
            /** @description false: not everything is counted yet, the figures are at least these */
            readonly exact: boolean;
            /** @description of the subscriptions of this page */
            readonly totals: {
                /** @description deliveries that became a success */
                readonly delivered: number;
                /** @description deliveries that became a failure */
                readonly failed: number;
                /** @description requests that ended */
                readonly attempts: number;
                /** @description successful requests by answer time: element i has those that took at most answerTimeBoundsMs[i], the last one the rest */
                readonly answerTimes: readonly number[];
            };
            readonly hours: readonly components["schemas"]["HourFigures"][];
            readonly _embedded: {
                readonly subscriptions: readonly components["schemas"]["SubscriptionFigures"][];
            };
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly next?: components["schemas"]["Link"];
            };
        };
        readonly SubscriptionFigures: {
            /** Format: uuid */
            readonly id: string;
            readonly title: string;
            readonly enabled: boolean;
            readonly health: {
                /** @enum {string} */
                readonly state: "healthy" | "slow" | "failing" | "unverified";
                /** Format: date-time */
                readonly since: string;
            };
            readonly totals: components["schemas"]["Figures"];
            /** @description by hour, as in hours */
            readonly delivered: readonly number[];
            /** @description by hour, as in hours */
            readonly failed: readonly number[];
            /** @description events that are not final */
            readonly waiting: number;
            /**
             * Format: date-time
             * @description absent: none waits
             */
            readonly oldestWaitingAt?: string;
            /**
             * Format: date-time
             * @description absent: none in the last seven days
             */
            readonly lastDeliveredAt?: string;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly stats: components["schemas"]["Link"];
            };
        };
        readonly Event: {
            /** Format: uuid */
            readonly id: string;
            /** Format: date-time */
            readonly createdAt: string;
            /** Format: date-time */
            readonly updatedAt: string;
            /** @enum {string} */
            readonly state: "awaiting-executing" | "executing" | "awaiting-retry" | "success" | "failure";
            readonly attempts: number;
            /** Format: date-time */
            readonly nextAttemptAt?: string;
            readonly request: {
                readonly endpoint: string;
                readonly headers: {
                    readonly [key: string]: string;
                };
                /** @description the compact SET */
                readonly payload: string;
            };
            readonly response?: {
                readonly statusCode: number;
                readonly headers: {
                    readonly [key: string]: string;
                };
            };
            readonly error?: {
                /** @enum {string} */
                readonly code: "timed_out" | "unreachable" | "invalid_response" | "blocked";
                readonly message: string;
            };
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly redeliver: components["schemas"]["Link"];
                readonly history: components["schemas"]["Link"];
            };
        };
        readonly NewTest: {
            /**
             * @description an example of this event type is sent, marked with `"test": true`; without it the test event is sent
             * @enum {string}
             */
            readonly type?: "entityCreated" | "entityUpdated" | "entityDeleted";
        };
        readonly EventList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly events: readonly components["schemas"]["ListedEvent"][];
            };
        };
        readonly ListedEvent: {
            /** Format: uuid */
            readonly id: string;
            /** Format: date-time */
            readonly createdAt: string;
            /** Format: date-time */
            readonly updatedAt: string;
            /** @enum {string} */
            readonly state: "awaiting-executing" | "executing" | "awaiting-retry" | "success" | "failure";
            readonly attempts: number;
            /** Format: date-time */
            readonly nextAttemptAt?: string;
            /** @description absent with `fields=summary` */
            readonly request?: {
                readonly endpoint: string;
                readonly headers: {
                    readonly [key: string]: string;
                };
                /** @description the compact SET */
                readonly payload: string;
            };
            readonly response?: {
                readonly statusCode: number;
                readonly headers: {
                    readonly [key: string]: string;
                };
            };
            readonly error?: {
                /** @enum {string} */
                readonly code: "timed_out" | "unreachable" | "invalid_response" | "blocked";
                readonly message: string;
            };
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly redeliver: components["schemas"]["Link"];
                readonly history: components["schemas"]["Link"];
            };
            /**
             * @description with `fields=summary` only
             * @enum {string}
             */
            readonly type?: "entityCreated" | "entityUpdated" | "entityDeleted" | "test";
        };
        readonly HistoryList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly history: readonly components["schemas"]["HistoryEntry"][];
            };
        };
        readonly HistoryEntry: {
            /** Format: date-time */
            readonly createdAt: string;
            /** @enum {string} */
            readonly state: "awaiting-executing" | "executing" | "awaiting-retry" | "success" | "failure";
            readonly attempts: number;
            /** @description why the attempt or the event failed; for people */
            readonly reason?: string;
            readonly response?: {
                readonly statusCode: number;
                readonly headers: {
                    readonly [key: string]: string;
                };
            };
            readonly error?: {
                /** @enum {string} */
                readonly code: "timed_out" | "unreachable" | "invalid_response" | "blocked";
                readonly message: string;
            };
            /** @description milliseconds */
            readonly durationMs?: number;
            /** Format: date-time */
            readonly nextAttemptAt?: string;
        };
        readonly DeliveryList: {
            /** Format: uuid */
            readonly id: string;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly next?: components["schemas"]["Link"];
            };
            readonly _embedded: {
                readonly deliveries: readonly components["schemas"]["Delivery"][];
            };
        };
        readonly Delivery: {
            /** Format: uuid */
            readonly id: string;
            /** Format: date-time */
            readonly createdAt: string;
            /** Format: date-time */
            readonly updatedAt: string;
            /** @enum {string} */
            readonly state: "awaiting-executing" | "executing" | "awaiting-retry" | "success" | "failure";
            readonly attempts: number;
            /** Format: date-time */
            readonly nextAttemptAt?: string;
            readonly response?: {
                readonly statusCode: number;
                readonly headers: {
                    readonly [key: string]: string;
                };
            };
            readonly error?: {
                /** @enum {string} */
                readonly code: "timed_out" | "unreachable" | "invalid_response" | "blocked";
                readonly message: string;
            };
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly redeliver: components["schemas"]["Link"];
                readonly history: components["schemas"]["Link"];
                readonly subscription: components["schemas"]["Link"];
            };
            /**
             * @description `test` for every test notification; absent when the SET was not kept
             * @enum {string}
             */
            readonly type?: "entityCreated" | "entityUpdated" | "entityDeleted" | "test";
            readonly subscription: {
                /** Format: uuid */
                readonly id: string;
                readonly title: string;
            };
        };
        readonly Export: {
            /** Format: uuid */
            readonly id: string;
            /** Format: date-time */
            readonly createdAt: string;
            /** Format: date-time */
            readonly updatedAt: string;
            /** @enum {string} */
            readonly state: "processing" | "completed" | "canceled" | "failed";
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly exports: components["schemas"]["Link"];
                readonly download?: components["schemas"]["Link"];
            };
        };
        readonly ExportList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly exports: readonly components["schemas"]["Export"][];
            };
        };
        readonly RedeliveryPreview: {
            /** @description true */
            readonly dryRun: boolean;
            /** @description failed events of the span that a job would redeliver */
            readonly total: number;
            /** @description false: there may be more, so every figure means "at least" */
            readonly exact: boolean;
            /** @description of these, the event that was accepted first */
            readonly oldest?: {
                /** Format: uuid */
                readonly id: string;
                /** Format: date-time */
                readonly createdAt: string;
            };
            /** @description the event that was accepted last */
            readonly newest?: {
                /** Format: uuid */
                readonly id: string;
                /** Format: date-time */
                readonly createdAt: string;
            };
            /** @description failed events of the span that no job redelivers */
            readonly leftOut: {
                /** @description events whose SETs found no room */
                readonly notKept: number;
                /** @description events that waited in vain for a proof of an endpoint */
                readonly notVerified: number;
            };
            readonly _links: {
                readonly redeliveries: components["schemas"]["Link"];
                readonly subscription: components["schemas"]["Link"];
            };
        };
        readonly Redelivery: {
            /** Format: uuid */
            readonly id: string;
            /** Format: date-time */
            readonly createdAt: string;
            /** Format: date-time */
            readonly updatedAt: string;
            /** @enum {string} */
            readonly state: "processing" | "completed" | "canceled";
            /** @description failed events of the span when the job began */
            readonly total: number;
            /** @description events that the job has released so far */
            readonly redelivered: number;
            readonly succeeded: number;
            readonly failed: number;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly redeliveries: components["schemas"]["Link"];
                readonly subscription: components["schemas"]["Link"];
            };
        };
        readonly NewRedelivery: {
            /**
             * Format: date-time
             * @description events with this createdAt or a later one
             * @example 2026-01-31T12:00:00Z
             */
            readonly since?: string;
            /**
             * Format: date-time
             * @description events with this createdAt or an earlier one
             * @example 2026-01-31T12:00:00Z
             */
            readonly until?: string;
            /** @description true: nothing is sent; the answer says what would be */
            readonly dryRun?: boolean;
        };
        readonly RedeliveryList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly redeliveries: readonly components["schemas"]["Redelivery"][];
            };
        };
        readonly FilterTestResult: {
            /** @description whether a subscription with the filter gets the event */
            readonly matches: boolean;
            /** @description whether `properties` of the filter, or of a schema that it combines, has the type */
            readonly typeNamed: boolean;
        };
        readonly FilterTest: {
            /** @description JSON Schema (draft-07 subset) for the `events` claim; null: every event passes */
            readonly filter: {
                readonly [key: string]: unknown;
            } | null;
            readonly event: components["schemas"]["PublishedEvent"];
        };
        readonly PublishedEvent: components["schemas"]["PublishedEntityCreated"] | components["schemas"]["PublishedEntityUpdated"] | components["schemas"]["PublishedEntityDeleted"];
        readonly PublishedEntityCreated: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            readonly type: "entityCreated";
            /**
             * Format: uuid
             * @description UUID version 7; makes the publish idempotent
             * @example 01890a5d-ac96-774b-bcce-b302099a8057
             */
            readonly id?: string;
            /**
             * Format: date-time
             * @description when it happened; default: when it was accepted
             * @example 2026-01-31T12:00:00Z
             */
            readonly occurredAt?: string;
            /** @example tep2dcqy4fwurwtpkaxg76twgf */
            readonly captureApplicationId: string;
            /** @example zfccfzzcf626t449wu5umbt6zhek2det */
            readonly captureClientId: string;
            /** @example user */
            readonly entityType: string;
            /**
             * Format: uuid
             * @description the profile's id
             * @example 726087ec-35df-4041-aec8-c11ecc208efa
             */
            readonly sub: string;
            /**
             * @description default: made of the application, the type and `sub`
             * @example a text
             */
            readonly globalSub?: string;
            /** @description of entityUpdated only */
            readonly attributes?: unknown;
        };
        readonly PublishedEntityUpdated: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            readonly type: "entityUpdated";
            /**
             * Format: uuid
             * @description UUID version 7; makes the publish idempotent
             * @example 01890a5d-ac96-774b-bcce-b302099a8057
             */
            readonly id?: string;
            /**
             * Format: date-time
             * @description when it happened; default: when it was accepted
             * @example 2026-01-31T12:00:00Z
             */
            readonly occurredAt?: string;
            /** @example tep2dcqy4fwurwtpkaxg76twgf */
            readonly captureApplicationId: string;
            /** @example zfccfzzcf626t449wu5umbt6zhek2det */
            readonly captureClientId: string;
            /** @example user */
            readonly entityType: string;
            /**
             * Format: uuid
             * @description the profile's id
             * @example 726087ec-35df-4041-aec8-c11ecc208efa
             */
            readonly sub: string;
            /**
             * @description default: made of the application, the type and `sub`
             * @example a text
             */
            readonly globalSub?: string;
            readonly attributes: readonly string[];
        };
        readonly PublishedEntityDeleted: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            readonly type: "entityDeleted";
            /**
             * Format: uuid
             * @description UUID version 7; makes the publish idempotent
             * @example 01890a5d-ac96-774b-bcce-b302099a8057
             */
            readonly id?: string;
            /**
             * Format: date-time
             * @description when it happened; default: when it was accepted
             * @example 2026-01-31T12:00:00Z
             */
            readonly occurredAt?: string;
            /** @example tep2dcqy4fwurwtpkaxg76twgf */
            readonly captureApplicationId: string;
            /** @example zfccfzzcf626t449wu5umbt6zhek2det */
            readonly captureClientId: string;
            /** @example user */
            readonly entityType: string;
            /**
             * Format: uuid
             * @description the profile's id
             * @example 726087ec-35df-4041-aec8-c11ecc208efa
             */
            readonly sub: string;
            /**
             * @description default: made of the application, the type and `sub`
             * @example a text
             */
            readonly globalSub?: string;
            /** @description of entityUpdated only */
            readonly attributes?: unknown;
        };
        readonly PublishedEvents: {
            readonly _embedded: {
                readonly events: readonly {
                    /** Format: uuid */
                    readonly id: string;
                    /** @enum {string} */
                    readonly type: "entityCreated" | "entityUpdated" | "entityDeleted";
                }[];
            };
        };
        readonly Publication: components["schemas"]["PublishedEntityCreated"] | components["schemas"]["PublishedEntityUpdated"] | components["schemas"]["PublishedEntityDeleted"] | readonly components["schemas"]["PublishedEvent"][];
        readonly Customer: {
            /** Format: uuid */
            readonly id: string;
            readonly name: string;
            /** Format: date-time */
            readonly createdAt: string;
            /** @enum {string} */
            readonly signingAlgorithm: "RS256" | "EdDSA";
            /**
             * Format: date-time
             * @description with EdDSA: from when on it signs. Until then RS256 does
             */
            readonly signingAlgorithmFrom?: string;
            /** @description how full the fullest event store of its subscriptions is, in steps of 10 */
            readonly fullestStorePercent: number;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly clients: components["schemas"]["Link"];
                readonly subscriptions: components["schemas"]["Link"];
                readonly keys: components["schemas"]["Link"];
            };
        };
        readonly NewCustomer: {
            /**
             * @description what signs its tokens; RS256 without it
             * @enum {string}
             */
            readonly signingAlgorithm?: "RS256" | "EdDSA";
            /** @example Acme */
            readonly name: string;
            /**
             * Format: uuid
             * @description a customer that moves here keeps its id
             * @example 726087ec-35df-4041-aec8-c11ecc208efa
             */
            readonly id?: string;
        };
        readonly CustomerList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly customers: readonly components["schemas"]["Customer"][];
            };
        };
        readonly CustomerChange: {
            /** @enum {string} */
            readonly signingAlgorithm?: "RS256" | "EdDSA";
        };
        readonly ClientWithSecret: {
            readonly clientId: string;
            readonly name: string;
            readonly scope: string;
            /** Format: date-time */
            readonly createdAt: string;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly "rotate-secret": components["schemas"]["Link"];
            };
            /** @description only this answer shows it */
            readonly clientSecret: string;
        };
        readonly NewClient: {
            /** @example backend */
            readonly name: string;
            /**
             * @description METHOD:path-glob, several separated by spaces; *:webhooks/** without it
             * @example *:webhooks/**
             */
            readonly scope?: string;
            /**
             * @description for a client that moves here: it keeps its credentials
             * @example iwh_client_6luf86lybzn47iej5a61alhrsluowbya
             */
            readonly clientId?: string;
            /** @example iwh_secret_0123456789abcdef0123456789abcdef0123456789abcdef */
            readonly clientSecret?: string;
        };
        readonly ClientList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly clients: readonly components["schemas"]["Client"][];
            };
        };
        readonly Client: {
            readonly clientId: string;
            readonly name: string;
            readonly scope: string;
            /** Format: date-time */
            readonly createdAt: string;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly "rotate-secret": components["schemas"]["Link"];
            };
        };
        readonly RotateSecret: {
            /** @description how long the old secrets still work; 0 without it */
            readonly keepOldSeconds?: number;
        };
        readonly ConsoleLink: {
            /** @description only this answer shows it; it works once */
            readonly url: string;
            readonly readOnly: boolean;
            /** Format: date-time */
            readonly expiresAt: string;
            /** @enum {integer} */
            readonly sessionEndsAfterSeconds: 28800;
        };
        readonly NewConsoleLink: {
            /** @description whether the session of the link can change nothing; false without it */
            readonly readOnly?: boolean;
            /** @description how long the link can be used; 3600 without it */
            readonly expiresInSeconds?: number;
        };
        readonly DeadLetterList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly deadLetters: readonly components["schemas"]["DeadLetter"][];
            };
        };
        readonly DeadLetter: {
            /** Format: uuid */
            readonly id: string;
            readonly queue: string;
            readonly reason: string;
            /** Format: date-time */
            readonly acceptedAt: string;
            /** Format: date-time */
            readonly createdAt: string;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly replay: components["schemas"]["Link"];
            };
        };
        readonly DeadLetterWithBody: {
            /** Format: uuid */
            readonly id: string;
            readonly queue: string;
            readonly reason: string;
            /** Format: date-time */
            readonly acceptedAt: string;
            /** Format: date-time */
            readonly createdAt: string;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly replay: components["schemas"]["Link"];
            };
            /** @description the event as it was published, with the id and time it was given */
            readonly body?: unknown;
        };
        readonly Reseal: {
            /** @description private keys in all */
            readonly total: number;
            /** @description sealed again by this call */
            readonly resealed: number;
            /** @description not sealed under the current key yet; repeat the call until this is 0 */
            readonly remaining: number;
            /** @description of those remaining, keys that neither sealing key opens; the log names them */
            readonly unreadable: number;
        };
        readonly AdoptedAgain: {
            /** @description subscriptions of the customer */
            readonly total: number;
            /** @description event stores that have adopted their row; the others do with the next event, or within a day */
            readonly adopted: number;
        };
        readonly Shards: {
            /** Format: uuid */
            readonly id: string;
            /** @description event stores for new events, once the last epoch has begun */
            readonly shards: number;
            /** @description event stores that may have events */
            readonly stores: number;
            /** @description oldest first; before the first there is one store */
            readonly epochs: readonly {
                /**
                 * Format: date-time
                 * @description the first time, in the id of an event
                 */
                readonly since: string;
                readonly shards: number;
            }[];
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly subscription: components["schemas"]["Link"];
            };
        };
        readonly ShardsChange: {
            /**
             * @description event stores for new events
             * @example 4
             */
            readonly shards?: number;
        };
        readonly AuditEntryList: {
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly next?: components["schemas"]["Link"];
            };
            readonly _embedded: {
                readonly auditEntries: readonly components["schemas"]["AuditEntry"][];
            };
        };
        readonly AuditEntry: {
            /** Format: uuid */
            readonly id: string;
            /** Format: date-time */
            readonly createdAt: string;
            /** @enum {string} */
            readonly event: "customer-created" | "customer-erased" | "client-created" | "client-deleted" | "client-secret-rotated" | "subscriptions-adopted-again" | "shards-changed" | "signing-keys-rotated" | "signing-algorithm-changed" | "signing-keys-resealed" | "dead-letter-read" | "dead-letter-replayed" | "dead-letter-dropped" | "subscription-deleted" | "token-issued" | "token-refused" | "operator-refused" | "notices-set" | "console-link-created" | "console-signed-in" | "operator-signed-in" | "console-signed-out" | "console-refused";
            /** @enum {string} */
            readonly actor: "operator" | "client" | "service" | "stranger";
            readonly outcome: string;
            /** Format: uuid */
            readonly customerId?: string;
            /** @description the client that acted */
            readonly clientId?: string;
            /** @description the id of what was acted on */
            readonly target?: string;
            /** @description the caller's IPv4 address, or its IPv6 network */
            readonly address?: string;
            /** Format: uuid */
            readonly requestId?: string;
            readonly callerRequestId?: string;
            /** @description how many like things the entry stands for */
            readonly count: number;
        };
        readonly OperatorStats: {
            /** Format: date-time */
            readonly at: string;
            /** @description as each event store said at its daily visit: up to a day old */
            readonly accepted: {
                readonly lastDay: number;
            };
            /** @description as each event store said at its daily visit: up to a day old */
            readonly delivered: {
                readonly lastDay: number;
            };
            /** @description as each event store said at its daily visit: up to a day old */
            readonly failed: {
                readonly lastDay: number;
            };
            readonly customers: number;
            readonly subscriptions: {
                readonly total: number;
                readonly disabled: number;
                /** @description enabled, and its endpoint is not verified; likewise the next two */
                readonly unverified: number;
                readonly slow: number;
                readonly failing: number;
            };
            /** @description events that are not final, at the daily visits */
            readonly waiting: number;
            /** Format: date-time */
            readonly oldestWaitingAt?: string;
            readonly deadLetters: number;
            /** @description without queues whose metrics cannot be read now */
            readonly queues: readonly {
                readonly name: string;
                readonly backlogMessages: number;
                readonly backlogBytes: number;
                /** Format: date-time */
                readonly oldestMessageAt?: string;
            }[];
            readonly stores: {
                readonly fullestPercent: number;
                /** @description event stores that are at least half full */
                readonly above50Percent: number;
                readonly above80Percent: number;
            };
        };
        readonly TroubledEndpointList: {
            /** @description items in the whole collection */
            readonly total: number;
            readonly _links: components["schemas"]["CollectionLinks"];
            readonly _embedded: {
                readonly endpoints: readonly components["schemas"]["TroubledEndpoint"][];
            };
        };
        readonly TroubledEndpoint: {
            /** Format: uuid */
            readonly customerId: string;
            readonly customerName: string;
            /** Format: uuid */
            readonly subscriptionId: string;
            readonly title: string;
            /** @description host and port of the endpoint; its path may have a secret */
            readonly host: string;
            readonly health: {
                /** @enum {string} */
                readonly state: "failing" | "slow" | "unverified";
                /** Format: date-time */
                readonly since: string;
            };
            readonly _links: {
                readonly customer: components["schemas"]["Link"];
                readonly subscription: components["schemas"]["Link"];
            };
        };
        readonly Notices: {
            readonly endpoint: string;
            readonly enabled: boolean;
            /**
             * Format: uuid
             * @description the customer of the notices, which has their signing keys
             */
            readonly customerId: string;
            /** Format: uuid */
            readonly subscriptionId: string;
            readonly health: {
                /** @enum {string} */
                readonly state: "healthy" | "slow" | "failing" | "unverified";
            };
            /** Format: date-time */
            readonly updatedAt: string;
            readonly _links: {
                readonly self: components["schemas"]["Link"];
                readonly subscription: components["schemas"]["Link"];
                readonly keys: components["schemas"]["Link"];
            };
        };
        readonly NewNotices: {
            /**
             * @description an https URL; `http` only where the operator permits it for development
             * @example https://listener.example.com/hooks
             */
            readonly endpoint: string;
            /** @description true without it */
            readonly enabled?: boolean;
        };
        readonly ConsoleSession: {
            /** @enum {string} */
            readonly kind: "customer";
            /** Format: uuid */
            readonly customerId: string;
            readonly customerName: string;
            /** @description whether the session can change nothing */
            readonly readOnly: boolean;
            /** Format: date-time */
            readonly expiresAt: string;
        } | {
            /** @enum {string} */
            readonly kind: "operator";
            /** Format: date-time */
            readonly expiresAt: string;
        };
        readonly ConsoleSignIn: {
            /** @description the code of a link, which works once */
            readonly code: string;
        } | {
            /** @description of a client of the customer */
            readonly clientId: string;
            /** @description the secret of that client */
            readonly clientSecret: string;
            /**
             * Format: uuid
             * @example 726087ec-35df-4041-aec8-c11ecc208efa
             */
            readonly customerId: string;
        } | {
            /** @description OPERATOR_TOKEN */
            readonly operatorToken: string;
        };
        readonly ConsoleToken: {
            readonly access_token: string;
            /** @enum {string} */
            readonly token_type: "Bearer";
            /** @description seconds; fewer than 600 when the session ends before */
            readonly expires_in: number;
            readonly scope: string;
        };
        readonly ConsoleTokenRequest: {
            /** @enum {string} */
            readonly kind: "customer" | "operator";
        };
    };
    responses: {
        /** @description The answer names the faults of the query or the body, 100 at most */
        readonly BadRequest: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
        /** @description No right to make this call; the answer says nothing of what exists */
        readonly Forbidden: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Forbidden"];
            };
        };
        /** @description There is no such resource */
        readonly NotFound: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
        /** @description The path has no such method */
        readonly MethodNotAllowed: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                /**
                 * @description the methods of the path
                 * @example GET, HEAD, POST
                 */
                readonly Allow: string;
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
        /** @description The state of the resource does not allow it */
        readonly Conflict: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
        /** @description The body is too large */
        readonly PayloadTooLarge: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
        /** @description The body is not sent as JSON */
        readonly UnsupportedMediaType: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
        /** @description Too many requests; see Retry-After */
        readonly TooManyRequests: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                /**
                 * @description seconds to wait before the same call
                 * @example 10
                 */
                readonly "Retry-After": number;
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
        /** @description A fault of the service; its log has the X-Request-Id */
        readonly InternalServerError: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
        /** @description Briefly away; see Retry-After */
        readonly ServiceUnavailable: {
            headers: {
                readonly "X-Request-Id": components["headers"]["RequestId"];
                readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                /**
                 * @description seconds to wait before the same call
                 * @example 10
                 */
                readonly "Retry-After": number;
                readonly [name: string]: unknown;
            };
            content: {
                readonly "application/json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: {
        /**
         * @description names the request in the log of the service
         * @example c2b7a3c4-1d52-4b0e-8f0a-6f1f2f9a7d10
         */
        readonly RequestId: string;
        /**
         * @description the `X-Request-Id` of the request, if it has 1 to 255 of A-Z a-z 0-9 _ - =
         * @example ticket-7
         */
        readonly CallerRequestId: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    readonly getHealth: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description It is up */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Health"];
                };
            };
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getOpenApi: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description OpenAPI 3.1 */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description who may store the answer
                     * @example public, max-age=300
                     */
                    readonly "Cache-Control"?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "openapi": "3.1.0"
                     *     }
                     */
                    readonly "application/json": {
                        readonly [key: string]: unknown;
                    };
                };
            };
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getSecurityTxt: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description security.txt of RFC 9116 */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example Contact: mailto:security@example.com
                     *     Expires: 2026-07-30T12:00:00Z
                     */
                    readonly "text/plain": string;
                };
            };
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly createToken: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "grant_type": "client_credentials",
                 *       "scope": "*:webhooks/**"
                 *     }
                 */
                readonly "application/x-www-form-urlencoded": components["schemas"]["TokenRequest"];
            };
        };
        readonly responses: {
            /** @description An access token */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description who may store the answer
                     * @example no-store
                     */
                    readonly "Cache-Control"?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "access_token": "iwt…",
                     *       "expires_in": 3600,
                     *       "token_type": "Bearer",
                     *       "scope": "*:webhooks/**"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["AccessToken"];
                };
            };
            /** @description One of the errors of RFC 6749, 5.2 */
            readonly 400: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "error": "invalid_scope",
                     *       "error_description": "the client is not allowed the scope GET:other"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["OAuthError"];
                };
            };
            /** @description The client is missing, unknown or wrong */
            readonly 401: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description how to send the credentials
                     * @example Basic realm="identity-webhooks", charset="UTF-8"
                     */
                    readonly "WWW-Authenticate"?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "error": "invalid_client",
                     *       "error_description": "send client id and secret in HTTP Basic: credentials in the body are not read"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["OAuthError"];
                };
            };
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            /** @description Too many failed authentications; the credentials were not checked */
            readonly 429: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description seconds to wait before the same call
                     * @example 45
                     */
                    readonly "Retry-After": number;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "error": "temporarily_unavailable"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["OAuthError"];
                };
            };
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getPublicKeys: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The keys */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description who may store the answer
                     * @example public, max-age=300, stale-if-error=43200
                     */
                    readonly "Cache-Control"?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "keys": [
                     *         {
                     *           "kty": "RSA",
                     *           "use": "sig",
                     *           "alg": "RS256",
                     *           "kid": "0f9d8c7b6a5948372615040302010f0e0d0c0b0a",
                     *           "n": "yJ2…",
                     *           "e": "AQAB"
                     *         }
                     *       ]
                     *     }
                     */
                    readonly "application/json": components["schemas"]["JsonWebKeySet"];
                };
            };
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listSubscriptions: {
        readonly parameters: {
            readonly query?: {
                /** @description page number; the first is 1. Any other value is no fault */
                readonly page?: number;
            };
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The subscriptions */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "subscriptions": [
                     *           {
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *               },
                     *               "events": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events"
                     *               },
                     *               "test": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/test"
                     *               },
                     *               "summary": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/summary"
                     *               }
                     *             },
                     *             "id": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *             "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *             "title": "Profile sync",
                     *             "endpoint": "https://listener.example.com/hooks",
                     *             "events": [
                     *               "entityUpdated"
                     *             ],
                     *             "enabled": true,
                     *             "filter": {
                     *               "properties": {
                     *                 "entityUpdated": {
                     *                   "properties": {
                     *                     "entityType": {
                     *                       "const": "user"
                     *                     }
                     *                   }
                     *                 }
                     *               }
                     *             },
                     *             "health": {
                     *               "state": "healthy"
                     *             },
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "updatedAt": "2026-01-31T12:00:00.000Z"
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["SubscriptionList"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly createSubscription: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "title": "Profile sync",
                 *       "endpoint": "https://listener.example.com/hooks",
                 *       "events": [
                 *         "entityUpdated"
                 *       ],
                 *       "filter": {
                 *         "properties": {
                 *           "entityUpdated": {
                 *             "properties": {
                 *               "entityType": {
                 *                 "const": "user"
                 *               }
                 *             }
                 *           }
                 *         }
                 *       }
                 *     }
                 */
                readonly "application/json": components["schemas"]["NewSubscription"];
            };
        };
        readonly responses: {
            /** @description The subscription */
            readonly 201: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description the path of the subscription
                     * @example /b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10
                     */
                    readonly Location?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         },
                     *         "events": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events"
                     *         },
                     *         "test": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/test"
                     *         },
                     *         "summary": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/summary"
                     *         }
                     *       },
                     *       "id": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *       "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "title": "Profile sync",
                     *       "endpoint": "https://listener.example.com/hooks",
                     *       "events": [
                     *         "entityUpdated"
                     *       ],
                     *       "enabled": true,
                     *       "filter": {
                     *         "properties": {
                     *           "entityUpdated": {
                     *             "properties": {
                     *               "entityType": {
                     *                 "const": "user"
                     *               }
                     *             }
                     *           }
                     *         }
                     *       },
                     *       "health": {
                     *         "state": "healthy",
                     *         "since": "2026-01-31T12:00:00.000Z",
                     *         "waiting": 0
                     *       },
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:00.000Z"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Subscription"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getSubscription: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The subscription */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         },
                     *         "events": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events"
                     *         },
                     *         "test": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/test"
                     *         },
                     *         "summary": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/summary"
                     *         }
                     *       },
                     *       "id": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *       "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "title": "Profile sync",
                     *       "endpoint": "https://listener.example.com/hooks",
                     *       "events": [
                     *         "entityUpdated"
                     *       ],
                     *       "enabled": true,
                     *       "filter": {
                     *         "properties": {
                     *           "entityUpdated": {
                     *             "properties": {
                     *               "entityType": {
                     *                 "const": "user"
                     *               }
                     *             }
                     *           }
                     *         }
                     *       },
                     *       "health": {
                     *         "state": "healthy",
                     *         "since": "2026-01-31T12:00:00.000Z",
                     *         "waiting": 0
                     *       },
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:00.000Z"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Subscription"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly deleteSubscription: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Deleted */
            readonly 204: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly updateSubscription: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "enabled": false
                 *     }
                 */
                readonly "application/merge-patch+json": components["schemas"]["SubscriptionChange"];
                /**
                 * @example {
                 *       "enabled": false
                 *     }
                 */
                readonly "application/json": components["schemas"]["SubscriptionChange"];
            };
        };
        readonly responses: {
            /** @description The subscription as it is now */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         },
                     *         "events": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events"
                     *         },
                     *         "test": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/test"
                     *         },
                     *         "summary": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/summary"
                     *         }
                     *       },
                     *       "id": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *       "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "title": "Profile sync",
                     *       "endpoint": "https://listener.example.com/hooks",
                     *       "events": [
                     *         "entityUpdated"
                     *       ],
                     *       "enabled": false,
                     *       "filter": {
                     *         "properties": {
                     *           "entityUpdated": {
                     *             "properties": {
                     *               "entityType": {
                     *                 "const": "user"
                     *               }
                     *             }
                     *           }
                     *         }
                     *       },
                     *       "health": {
                     *         "state": "healthy",
                     *         "since": "2026-01-31T12:00:00.000Z",
                     *         "waiting": 0
                     *       },
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:00.000Z"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Subscription"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getSummary: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The counts, as of updatedAt */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "updatedAt": "2026-01-31T12:00:00.000Z",
                     *       "total": 100,
                     *       "succeeded": 70,
                     *       "retrying": 12,
                     *       "failed": 18,
                     *       "exportable": 5
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Summary"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getSubscriptionStats: {
        readonly parameters: {
            readonly query?: {
                /** @description so many hours, the running one among them; 168 without it */
                readonly hours?: number;
            };
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The figures */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-01-31T12:00:00.000Z",
                     *       "until": "2026-01-31T12:00:05.000Z",
                     *       "answerTimeBoundsMs": [
                     *         25,
                     *         50,
                     *         100,
                     *         250,
                     *         500,
                     *         1000,
                     *         2000,
                     *         5000,
                     *         10000
                     *       ],
                     *       "exact": true,
                     *       "totals": {
                     *         "delivered": 120,
                     *         "failed": 2,
                     *         "attempts": 130,
                     *         "answerTimes": [
                     *           0,
                     *           80,
                     *           30,
                     *           8,
                     *           2,
                     *           0,
                     *           0,
                     *           0,
                     *           0,
                     *           0
                     *         ]
                     *       },
                     *       "waiting": 3,
                     *       "oldestWaitingAt": "2026-01-31T12:00:00.000Z",
                     *       "lastDeliveredAt": "2026-01-31T12:00:05.000Z",
                     *       "hours": [
                     *         {
                     *           "hour": "2026-01-31T12:00:00.000Z",
                     *           "delivered": 120,
                     *           "failed": 2,
                     *           "attempts": 130,
                     *           "answerTimes": [
                     *             0,
                     *             80,
                     *             30,
                     *             8,
                     *             2,
                     *             0,
                     *             0,
                     *             0,
                     *             0,
                     *             0
                     *           ]
                     *         }
                     *       ],
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/stats"
                     *         },
                     *         "subscription": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["SubscriptionStats"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listStats: {
        readonly parameters: {
            readonly query?: {
                /** @description so many hours, the running one among them; 24 without it */
                readonly hours?: number;
                /** @description at most so many subscriptions; 100 without it */
                readonly limit?: number;
                /** @description only subscriptions after this id */
                readonly after?: string;
            };
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The figures */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-01-31T12:00:00.000Z",
                     *       "until": "2026-01-31T12:00:05.000Z",
                     *       "answerTimeBoundsMs": [
                     *         25,
                     *         50,
                     *         100,
                     *         250,
                     *         500,
                     *         1000,
                     *         2000,
                     *         5000,
                     *         10000
                     *       ],
                     *       "exact": true,
                     *       "totals": {
                     *         "delivered": 120,
                     *         "failed": 2,
                     *         "attempts": 130,
                     *         "answerTimes": [
                     *           0,
                     *           80,
                     *           30,
                     *           8,
                     *           2,
                     *           0,
                     *           0,
                     *           0,
                     *           0,
                     *           0
                     *         ]
                     *       },
                     *       "hours": [
                     *         {
                     *           "hour": "2026-01-31T12:00:00.000Z",
                     *           "delivered": 120,
                     *           "failed": 2,
                     *           "attempts": 130,
                     *           "answerTimes": [
                     *             0,
                     *             80,
                     *             30,
                     *             8,
                     *             2,
                     *             0,
                     *             0,
                     *             0,
                     *             0,
                     *             0
                     *           ]
                     *         }
                     *       ],
                     *       "_embedded": {
                     *         "subscriptions": [
                     *           {
                     *             "id": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *             "title": "Profile sync",
                     *             "enabled": true,
                     *             "health": {
                     *               "state": "healthy",
                     *               "since": "2026-01-31T12:00:00.000Z"
                     *             },
                     *             "totals": {
                     *               "delivered": 120,
                     *               "failed": 2,
                     *               "attempts": 130,
                     *               "answerTimes": [
                     *                 0,
                     *                 80,
                     *                 30,
                     *                 8,
                     *                 2,
                     *                 0,
                     *                 0,
                     *                 0,
                     *                 0,
                     *                 0
                     *               ]
                     *             },
                     *             "delivered": [
                     *               120
                     *             ],
                     *             "failed": [
                     *               2
                     *             ],
                     *             "waiting": 3,
                     *             "oldestWaitingAt": "2026-01-31T12:00:00.000Z",
                     *             "lastDeliveredAt": "2026-01-31T12:00:05.000Z",
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *               },
                     *               "stats": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/stats"
                     *               }
                     *             }
                     *           }
                     *         ]
                     *       },
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/stats"
                     *         },
                     *         "next": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/stats?after=7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["CustomerStats"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly sendTest: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: {
            readonly content: {
                /**
                 * @example {
                 *       "type": "entityUpdated"
                 *     }
                 */
                readonly "application/json": components["schemas"]["NewTest"];
            };
        };
        readonly responses: {
            /** @description Stored, and about to be sent */
            readonly 202: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:00.000Z",
                     *       "state": "success",
                     *       "attempts": 1,
                     *       "request": {
                     *         "endpoint": "https://listener.example.com/hooks",
                     *         "headers": {
                     *           "Accept": "*\/*",
                     *           "Content-Length": "80",
                     *           "Content-Type": "application/secevent+jwt",
                     *           "Host": "listener.example.com",
                     *           "User-Agent": "identity-webhooks/3.0"
                     *         },
                     *         "payload": "eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl"
                     *       },
                     *       "response": {
                     *         "statusCode": 202,
                     *         "headers": {
                     *           "Content-Type": "text/plain"
                     *         }
                     *       },
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057"
                     *         },
                     *         "redeliver": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/redeliver"
                     *         },
                     *         "history": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/history"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Event"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listEvents: {
        readonly parameters: {
            readonly query?: {
                /** @description only events after this id */
                readonly after?: string;
                /** @description only events before this id */
                readonly before?: string;
                /** @description at most so many events */
                readonly limit?: number;
                /** @description only events in this state */
                readonly state?: "awaiting-executing" | "executing" | "awaiting-retry" | "success" | "failure";
                /** @description `desc`: newest first; then `before` takes the nearest older ones */
                readonly order?: "asc" | "desc";
                /** @description only events of these types, separated by commas */
                readonly type?: string;
                /** @description only events with this createdAt or a later one */
                readonly since?: string;
                /** @description only events with this createdAt or an earlier one */
                readonly until?: string;
                /** @description each event without `request`, and with its `type` */
                readonly fields?: "summary";
            };
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The events */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 1234,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events?limit=1"
                     *         },
                     *         "next": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events?limit=1&after=01890a5d-ac96-774b-bcce-b302099a8057"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "events": [
                     *           {
                     *             "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "updatedAt": "2026-01-31T12:00:00.000Z",
                     *             "state": "success",
                     *             "attempts": 1,
                     *             "request": {
                     *               "endpoint": "https://listener.example.com/hooks",
                     *               "headers": {
                     *                 "Accept": "*\/*",
                     *                 "Content-Length": "80",
                     *                 "Content-Type": "application/secevent+jwt",
                     *                 "Host": "listener.example.com",
                     *                 "User-Agent": "identity-webhooks/3.0"
                     *               },
                     *               "payload": "eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl"
                     *             },
                     *             "response": {
                     *               "statusCode": 202,
                     *               "headers": {
                     *                 "Content-Type": "text/plain"
                     *               }
                     *             },
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057"
                     *               },
                     *               "redeliver": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/redeliver"
                     *               },
                     *               "history": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/history"
                     *               }
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["EventList"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getEvent: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
                /** @description event id */
                readonly eid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The event */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:00.000Z",
                     *       "state": "success",
                     *       "attempts": 1,
                     *       "request": {
                     *         "endpoint": "https://listener.example.com/hooks",
                     *         "headers": {
                     *           "Accept": "*\/*",
                     *           "Content-Length": "80",
                     *           "Content-Type": "application/secevent+jwt",
                     *           "Host": "listener.example.com",
                     *           "User-Agent": "identity-webhooks/3.0"
                     *         },
                     *         "payload": "eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl"
                     *       },
                     *       "response": {
                     *         "statusCode": 202,
                     *         "headers": {
                     *           "Content-Type": "text/plain"
                     *         }
                     *       },
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057"
                     *         },
                     *         "redeliver": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/redeliver"
                     *         },
                     *         "history": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/history"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Event"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getEventHistory: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
                /** @description event id */
                readonly eid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The history */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 3,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/history"
                     *         },
                     *         "event": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "history": [
                     *           {
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "state": "awaiting-executing",
                     *             "attempts": 0
                     *           },
                     *           {
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "state": "executing",
                     *             "attempts": 1
                     *           },
                     *           {
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "state": "awaiting-retry",
                     *             "attempts": 1,
                     *             "reason": "HTTP 503",
                     *             "response": {
                     *               "statusCode": 503,
                     *               "headers": {}
                     *             },
                     *             "durationMs": 41,
                     *             "nextAttemptAt": "2026-01-31T12:00:05.000Z"
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["HistoryList"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly redeliverEvent: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
                /** @description event id */
                readonly eid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Scheduled */
            readonly 202: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:00.000Z",
                     *       "state": "awaiting-executing",
                     *       "attempts": 1,
                     *       "request": {
                     *         "endpoint": "https://listener.example.com/hooks",
                     *         "headers": {
                     *           "Accept": "*\/*",
                     *           "Content-Length": "80",
                     *           "Content-Type": "application/secevent+jwt",
                     *           "Host": "listener.example.com",
                     *           "User-Agent": "identity-webhooks/3.0"
                     *         },
                     *         "payload": "eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl"
                     *       },
                     *       "response": {
                     *         "statusCode": 202,
                     *         "headers": {
                     *           "Content-Type": "text/plain"
                     *         }
                     *       },
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057"
                     *         },
                     *         "redeliver": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/redeliver"
                     *         },
                     *         "history": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/history"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Event"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listDeliveries: {
        readonly parameters: {
            readonly query?: {
                /** @description only subscriptions after this id */
                readonly after?: string;
                /** @description at most so many subscriptions; 100 without it */
                readonly limit?: number;
            };
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description event id */
                readonly eid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The deliveries */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/events/01890a5d-ac96-774b-bcce-b302099a8057"
                     *         },
                     *         "next": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/events/01890a5d-ac96-774b-bcce-b302099a8057?after=7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "deliveries": [
                     *           {
                     *             "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *             "type": "entityUpdated",
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "updatedAt": "2026-01-31T12:00:00.000Z",
                     *             "state": "success",
                     *             "attempts": 1,
                     *             "response": {
                     *               "statusCode": 202,
                     *               "headers": {
                     *                 "Content-Type": "text/plain"
                     *               }
                     *             },
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057"
                     *               },
                     *               "redeliver": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/redeliver"
                     *               },
                     *               "history": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/events/01890a5d-ac96-774b-bcce-b302099a8057/history"
                     *               },
                     *               "subscription": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *               }
                     *             },
                     *             "subscription": {
                     *               "id": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *               "title": "Profile sync"
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["DeliveryList"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listExports: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The jobs, oldest first */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "exports": [
                     *           {
                     *             "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "updatedAt": "2026-01-31T12:00:05.000Z",
                     *             "state": "completed",
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *               },
                     *               "exports": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports"
                     *               },
                     *               "download": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11/download"
                     *               }
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ExportList"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly startExport: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The job */
            readonly 202: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:05.000Z",
                     *       "state": "processing",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *         },
                     *         "exports": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Export"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getExport: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
                /** @description export id */
                readonly exportId: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The job */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:05.000Z",
                     *       "state": "completed",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *         },
                     *         "exports": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports"
                     *         },
                     *         "download": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/exports/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11/download"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Export"];
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly cancelExport: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
                /** @description export id */
                readonly exportId: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Canceled */
            readonly 204: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly downloadExport: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
                /** @description export id */
                readonly exportId: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The file */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description the name of the file
                     * @example attachment; filename="3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11.ndjson"
                     */
                    readonly "Content-Disposition"?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /** @example {"id":"01890a5d-ac96-774b-bcce-b302099a8057","createdAt":"2026-01-31T12:00:00.000Z","updatedAt":"2026-01-31T12:00:00.000Z","state":"success","attempts":1,"request":{"endpoint":"https://listener.example.com/hooks","headers":{"Accept":"*\/*","Content-Length":"80","Content-Type":"application/secevent+jwt","Host":"listener.example.com","User-Agent":"identity-webhooks/3.0"},"payload":"eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl"},"response":{"statusCode":202,"headers":{"Content-Type":"text/plain"}}} */
                    readonly "application/x-ndjson": string;
                };
            };
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listRedeliveries: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The jobs of the last seven days, oldest first */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "redeliveries": [
                     *           {
                     *             "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "updatedAt": "2026-01-31T12:00:05.000Z",
                     *             "state": "processing",
                     *             "total": 120,
                     *             "redelivered": 31,
                     *             "succeeded": 29,
                     *             "failed": 1,
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *               },
                     *               "redeliveries": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries"
                     *               },
                     *               "subscription": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *               }
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["RedeliveryList"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly startRedelivery: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: {
            readonly content: {
                /**
                 * @example {
                 *       "since": "2026-01-31T12:00:00.000Z",
                 *       "until": "2026-01-31T12:00:05.000Z"
                 *     }
                 */
                readonly "application/json": components["schemas"]["NewRedelivery"];
            };
        };
        readonly responses: {
            /** @description What a job would redeliver, for a dry run */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "dryRun": true,
                     *       "total": 118,
                     *       "exact": true,
                     *       "oldest": {
                     *         "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *         "createdAt": "2026-01-31T12:00:00.000Z"
                     *       },
                     *       "newest": {
                     *         "id": "01890a5d-c01e-7a2b-9f31-5d4b8a6c7e10",
                     *         "createdAt": "2026-01-31T12:00:05.000Z"
                     *       },
                     *       "leftOut": {
                     *         "notKept": 2,
                     *         "notVerified": 0
                     *       },
                     *       "_links": {
                     *         "redeliveries": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries"
                     *         },
                     *         "subscription": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["RedeliveryPreview"];
                };
            };
            /** @description The job */
            readonly 202: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description the path of the job
                     * @example /b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11
                     */
                    readonly Location?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:05.000Z",
                     *       "state": "processing",
                     *       "total": 120,
                     *       "redelivered": 31,
                     *       "succeeded": 29,
                     *       "failed": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *         },
                     *         "redeliveries": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries"
                     *         },
                     *         "subscription": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Redelivery"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getRedelivery: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
                /** @description bulk redelivery id */
                readonly redeliveryId: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The job */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "updatedAt": "2026-01-31T12:00:05.000Z",
                     *       "state": "processing",
                     *       "total": 120,
                     *       "redelivered": 31,
                     *       "succeeded": 29,
                     *       "failed": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *         },
                     *         "redeliveries": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10/redeliveries"
                     *         },
                     *         "subscription": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Redelivery"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly cancelRedelivery: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
                /** @description bulk redelivery id */
                readonly redeliveryId: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Canceled */
            readonly 204: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly testFilter: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "filter": {
                 *         "properties": {
                 *           "entityUpdated": {
                 *             "properties": {
                 *               "entityType": {
                 *                 "const": "user"
                 *               }
                 *             }
                 *           }
                 *         }
                 *       },
                 *       "event": {
                 *         "type": "entityUpdated",
                 *         "captureApplicationId": "tep2dcqy4fwurwtpkaxg76twgf",
                 *         "captureClientId": "zfccfzzcf626t449wu5umbt6zhek2det",
                 *         "entityType": "user",
                 *         "sub": "726087ec-35df-4041-aec8-c11ecc208efa",
                 *         "attributes": [
                 *           "familyName"
                 *         ]
                 *       }
                 *     }
                 */
                readonly "application/json": components["schemas"]["FilterTest"];
            };
        };
        readonly responses: {
            /** @description Whether the event passes */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "matches": true,
                     *       "typeNamed": true
                     *     }
                     */
                    readonly "application/json": components["schemas"]["FilterTestResult"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly publishEvents: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example [
                 *       {
                 *         "type": "entityUpdated",
                 *         "occurredAt": "2026-01-31T12:00:00.000Z",
                 *         "captureApplicationId": "tep2dcqy4fwurwtpkaxg76twgf",
                 *         "captureClientId": "zfccfzzcf626t449wu5umbt6zhek2det",
                 *         "entityType": "user",
                 *         "sub": "726087ec-35df-4041-aec8-c11ecc208efa",
                 *         "attributes": [
                 *           "familyName",
                 *           "primaryAddress.city"
                 *         ]
                 *       }
                 *     ]
                 */
                readonly "application/json": components["schemas"]["Publication"];
            };
        };
        readonly responses: {
            /** @description Durably queued; ids in the order given */
            readonly 202: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "_embedded": {
                     *         "events": [
                     *           {
                     *             "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *             "type": "entityUpdated"
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["PublishedEvents"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listCustomers: {
        readonly parameters: {
            readonly query?: {
                /** @description page number; the first is 1. Any other value is no fault */
                readonly page?: number;
            };
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The customers */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "customers": [
                     *           {
                     *             "id": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *             "name": "Acme",
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "signingAlgorithm": "RS256",
                     *             "fullestStorePercent": 10,
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2"
                     *               },
                     *               "clients": {
                     *                 "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients"
                     *               },
                     *               "subscriptions": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions"
                     *               },
                     *               "keys": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/login/jwk"
                     *               }
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["CustomerList"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly createCustomer: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "name": "Acme"
                 *     }
                 */
                readonly "application/json": components["schemas"]["NewCustomer"];
            };
        };
        readonly responses: {
            /** @description The customer */
            readonly 201: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description the path of the customer
                     * @example /operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2
                     */
                    readonly Location?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "name": "Acme",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "signingAlgorithm": "RS256",
                     *       "fullestStorePercent": 10,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2"
                     *         },
                     *         "clients": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients"
                     *         },
                     *         "subscriptions": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions"
                     *         },
                     *         "keys": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/login/jwk"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Customer"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getCustomer: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The customer */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "name": "Acme",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "signingAlgorithm": "RS256",
                     *       "fullestStorePercent": 10,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2"
                     *         },
                     *         "clients": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients"
                     *         },
                     *         "subscriptions": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions"
                     *         },
                     *         "keys": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/login/jwk"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Customer"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly eraseCustomer: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Erased */
            readonly 204: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly updateCustomer: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "signingAlgorithm": "EdDSA"
                 *     }
                 */
                readonly "application/merge-patch+json": components["schemas"]["CustomerChange"];
                /**
                 * @example {
                 *       "signingAlgorithm": "EdDSA"
                 *     }
                 */
                readonly "application/json": components["schemas"]["CustomerChange"];
            };
        };
        readonly responses: {
            /** @description The customer */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "name": "Acme",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "signingAlgorithm": "EdDSA",
                     *       "fullestStorePercent": 10,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2"
                     *         },
                     *         "clients": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients"
                     *         },
                     *         "subscriptions": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions"
                     *         },
                     *         "keys": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/login/jwk"
                     *         }
                     *       },
                     *       "signingAlgorithmFrom": "2026-02-01T12:00:00.000Z"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Customer"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listClients: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The clients */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "clients": [
                     *           {
                     *             "clientId": "iwh_client_6luf86lybzn47iej5a61alhrsluowbya",
                     *             "name": "backend",
                     *             "scope": "*:webhooks/**",
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients/iwh_client_6luf86lybzn47iej5a61alhrsluowbya"
                     *               },
                     *               "rotate-secret": {
                     *                 "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients/iwh_client_6luf86lybzn47iej5a61alhrsluowbya/rotate-secret"
                     *               }
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ClientList"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly createClient: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "name": "backend"
                 *     }
                 */
                readonly "application/json": components["schemas"]["NewClient"];
            };
        };
        readonly responses: {
            /** @description The client with its secret */
            readonly 201: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "clientId": "iwh_client_6luf86lybzn47iej5a61alhrsluowbya",
                     *       "name": "backend",
                     *       "scope": "*:webhooks/**",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients/iwh_client_6luf86lybzn47iej5a61alhrsluowbya"
                     *         },
                     *         "rotate-secret": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients/iwh_client_6luf86lybzn47iej5a61alhrsluowbya/rotate-secret"
                     *         }
                     *       },
                     *       "clientSecret": "iwh_secret_0123456789abcdef0123456789abcdef0123456789abcdef"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ClientWithSecret"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly deleteClient: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description client id */
                readonly clientId: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Deleted */
            readonly 204: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly rotateClientSecret: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description client id */
                readonly clientId: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: {
            readonly content: {
                /**
                 * @example {
                 *       "keepOldSeconds": 3600
                 *     }
                 */
                readonly "application/json": components["schemas"]["RotateSecret"];
            };
        };
        readonly responses: {
            /** @description The client with its new secret */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "clientId": "iwh_client_6luf86lybzn47iej5a61alhrsluowbya",
                     *       "name": "backend",
                     *       "scope": "*:webhooks/**",
                     *       "createdAt": "2026-01-31T12:00:00.000Z",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients/iwh_client_6luf86lybzn47iej5a61alhrsluowbya"
                     *         },
                     *         "rotate-secret": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/clients/iwh_client_6luf86lybzn47iej5a61alhrsluowbya/rotate-secret"
                     *         }
                     *       },
                     *       "clientSecret": "iwh_secret_0123456789abcdef0123456789abcdef0123456789abcdef"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ClientWithSecret"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly createConsoleLink: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: {
            readonly content: {
                /**
                 * @example {
                 *       "readOnly": true
                 *     }
                 */
                readonly "application/json": components["schemas"]["NewConsoleLink"];
            };
        };
        readonly responses: {
            /** @description The link */
            readonly 201: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "url": "https://webhooks.example.com/console/#/sign-in/iwh_link_0123456789abcdef0123456789abcdef0123456789abcdef",
                     *       "readOnly": true,
                     *       "expiresAt": "2026-01-31T12:00:05.000Z",
                     *       "sessionEndsAfterSeconds": 28800
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ConsoleLink"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listDeadLetters: {
        readonly parameters: {
            readonly query?: {
                /** @description page number; the first is 1. Any other value is no fault */
                readonly page?: number;
            };
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The letters */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/dead-letters"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "deadLetters": [
                     *           {
                     *             "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *             "queue": "webhook-events",
                     *             "reason": "sub must be a UUID",
                     *             "acceptedAt": "2026-01-31T12:00:00.000Z",
                     *             "createdAt": "2026-01-31T12:00:05.000Z",
                     *             "_links": {
                     *               "self": {
                     *                 "href": "/operator/dead-letters/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *               },
                     *               "replay": {
                     *                 "href": "/operator/dead-letters/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11/replay"
                     *               }
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["DeadLetterList"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getDeadLetter: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description dead letter id */
                readonly id: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The letter with its body */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *       "queue": "webhook-events",
                     *       "reason": "sub must be a UUID",
                     *       "acceptedAt": "2026-01-31T12:00:00.000Z",
                     *       "createdAt": "2026-01-31T12:00:05.000Z",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/dead-letters/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *         },
                     *         "replay": {
                     *           "href": "/operator/dead-letters/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11/replay"
                     *         }
                     *       },
                     *       "body": {
                     *         "replay": 1,
                     *         "acceptedAt": 1769860800000,
                     *         "eventId": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *         "event": {
                     *           "type": "entityCreated"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["DeadLetterWithBody"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly dropDeadLetter: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description dead letter id */
                readonly id: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Dropped */
            readonly 204: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly replayDeadLetter: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description dead letter id */
                readonly id: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Queued */
            readonly 202: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11",
                     *       "queue": "webhook-events",
                     *       "reason": "sub must be a UUID",
                     *       "acceptedAt": "2026-01-31T12:00:00.000Z",
                     *       "createdAt": "2026-01-31T12:00:05.000Z",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/dead-letters/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11"
                     *         },
                     *         "replay": {
                     *           "href": "/operator/dead-letters/3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11/replay"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["DeadLetter"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly rotateSigningKeys: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The public keys */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "keys": [
                     *         {
                     *           "kty": "RSA",
                     *           "use": "sig",
                     *           "alg": "RS256",
                     *           "kid": "0f9d8c7b6a5948372615040302010f0e0d0c0b0a",
                     *           "n": "yJ2…",
                     *           "e": "AQAB"
                     *         }
                     *       ]
                     *     }
                     */
                    readonly "application/json": components["schemas"]["JsonWebKeySet"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly resealSigningKeys: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The progress */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 3,
                     *       "resealed": 3,
                     *       "remaining": 0,
                     *       "unreadable": 0
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Reseal"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly adoptSubscriptionsAgain: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description How many */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 12,
                     *       "adopted": 12
                     *     }
                     */
                    readonly "application/json": components["schemas"]["AdoptedAgain"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getShards: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Its event stores */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *       "shards": 4,
                     *       "stores": 4,
                     *       "epochs": [
                     *         {
                     *           "since": "2026-01-31T12:00:05.000Z",
                     *           "shards": 4
                     *         }
                     *       ],
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         },
                     *         "subscription": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Shards"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly updateShards: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path: {
                /** @description customer id */
                readonly cid: string;
                /** @description subscription id */
                readonly sid: string;
            };
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "shards": 4
                 *     }
                 */
                readonly "application/json": components["schemas"]["ShardsChange"];
            };
        };
        readonly responses: {
            /** @description Its event stores */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *       "shards": 4,
                     *       "stores": 4,
                     *       "epochs": [
                     *         {
                     *           "since": "2026-01-31T12:00:05.000Z",
                     *           "shards": 4
                     *         }
                     *       ],
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         },
                     *         "subscription": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Shards"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listAuditEntries: {
        readonly parameters: {
            readonly query?: {
                /** @description only entries that follow the one with this id */
                readonly after?: string;
                /** @description entries of a page, 100 without it */
                readonly limit?: number;
                /** @description only entries of this customer */
                readonly customerId?: string;
                /** @description only entries of this time or later */
                readonly since?: string;
                /** @description only entries before this time */
                readonly until?: string;
                /** @description only entries of this event */
                readonly event?: "customer-created" | "customer-erased" | "client-created" | "client-deleted" | "client-secret-rotated" | "subscriptions-adopted-again" | "shards-changed" | "signing-keys-rotated" | "signing-algorithm-changed" | "signing-keys-resealed" | "dead-letter-read" | "dead-letter-replayed" | "dead-letter-dropped" | "subscription-deleted" | "token-issued" | "token-refused" | "operator-refused" | "notices-set" | "console-link-created" | "console-signed-in" | "operator-signed-in" | "console-signed-out" | "console-refused";
            };
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The entries */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/audit?limit=1"
                     *         },
                     *         "next": {
                     *           "href": "/operator/audit?limit=1&after=01890a5d-ac96-774b-bcce-b302099a8057"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "auditEntries": [
                     *           {
                     *             "id": "01890a5d-ac96-774b-bcce-b302099a8057",
                     *             "createdAt": "2026-01-31T12:00:00.000Z",
                     *             "event": "client-created",
                     *             "actor": "operator",
                     *             "outcome": "done",
                     *             "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *             "target": "iwh_client_6luf86lybzn47iej5a61alhrsluowbya",
                     *             "address": "198.51.100.1",
                     *             "requestId": "c2b7a3c4-1d52-4b0e-8f0a-6f1f2f9a7d10",
                     *             "callerRequestId": "ticket-7",
                     *             "count": 1
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["AuditEntryList"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getOperatorStats: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The figures */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "at": "2026-01-31T12:00:05.000Z",
                     *       "accepted": {
                     *         "lastDay": 86400
                     *       },
                     *       "delivered": {
                     *         "lastDay": 86000
                     *       },
                     *       "failed": {
                     *         "lastDay": 12
                     *       },
                     *       "customers": 40,
                     *       "subscriptions": {
                     *         "total": 320,
                     *         "disabled": 12,
                     *         "unverified": 1,
                     *         "slow": 2,
                     *         "failing": 3
                     *       },
                     *       "waiting": 410,
                     *       "oldestWaitingAt": "2026-01-31T12:00:00.000Z",
                     *       "deadLetters": 0,
                     *       "queues": [
                     *         {
                     *           "name": "webhook-events",
                     *           "backlogMessages": 3,
                     *           "backlogBytes": 12000,
                     *           "oldestMessageAt": "2026-01-31T12:00:00.000Z"
                     *         }
                     *       ],
                     *       "stores": {
                     *         "fullestPercent": 30,
                     *         "above50Percent": 0,
                     *         "above80Percent": 0
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["OperatorStats"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getMetrics: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The text format of Prometheus, version 0.0.4 */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example # HELP identity_webhooks_accepted_last_day Deliveries taken in 24 hours, as of the daily visits.
                     *     # TYPE identity_webhook
                     */
                    readonly "text/plain": string;
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly listEndpoints: {
        readonly parameters: {
            readonly query?: {
                /** @description failing without it */
                readonly state?: "failing" | "slow" | "unverified";
                /** @description page number; the first is 1. Any other value is no fault */
                readonly page?: number;
            };
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The endpoints */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "total": 1,
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/endpoints"
                     *         }
                     *       },
                     *       "_embedded": {
                     *         "endpoints": [
                     *           {
                     *             "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *             "customerName": "Acme",
                     *             "subscriptionId": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *             "title": "Profile sync",
                     *             "host": "listener.example.com",
                     *             "health": {
                     *               "state": "failing",
                     *               "since": "2026-01-31T12:00:00.000Z"
                     *             },
                     *             "_links": {
                     *               "customer": {
                     *                 "href": "/operator/customers/b18fc81d-457e-4a40-ac87-2b78bd946fa2"
                     *               },
                     *               "subscription": {
                     *                 "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *               }
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["TroubledEndpointList"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getNotices: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The notices */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "endpoint": "https://alarms.example.com/webhooks",
                     *       "enabled": true,
                     *       "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "subscriptionId": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *       "health": {
                     *         "state": "healthy"
                     *       },
                     *       "updatedAt": "2026-01-31T12:00:00.000Z",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/notices"
                     *         },
                     *         "subscription": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         },
                     *         "keys": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/login/jwk"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Notices"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly setNotices: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "endpoint": "https://alarms.example.com/webhooks"
                 *     }
                 */
                readonly "application/json": components["schemas"]["NewNotices"];
            };
        };
        readonly responses: {
            /** @description The notices */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "endpoint": "https://alarms.example.com/webhooks",
                     *       "enabled": true,
                     *       "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "subscriptionId": "7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10",
                     *       "health": {
                     *         "state": "healthy"
                     *       },
                     *       "updatedAt": "2026-01-31T12:00:00.000Z",
                     *       "_links": {
                     *         "self": {
                     *           "href": "/operator/notices"
                     *         },
                     *         "subscription": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks/subscriptions/7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10"
                     *         },
                     *         "keys": {
                     *           "href": "/b18fc81d-457e-4a40-ac87-2b78bd946fa2/login/jwk"
                     *         }
                     *       }
                     *     }
                     */
                    readonly "application/json": components["schemas"]["Notices"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly eraseNotices: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Erased */
            readonly 204: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 404: components["responses"]["NotFound"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly getConsoleSession: {
        readonly parameters: {
            readonly query: {
                /** @description the session of which cookie */
                readonly kind: "customer" | "operator";
            };
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description The session */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "kind": "customer",
                     *       "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "customerName": "Acme",
                     *       "readOnly": false,
                     *       "expiresAt": "2026-01-31T12:00:05.000Z"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ConsoleSession"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly createConsoleSession: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "code": "iwh_link_0123456789abcdef0123456789abcdef0123456789abcdef"
                 *     }
                 */
                readonly "application/json": components["schemas"]["ConsoleSignIn"];
            };
        };
        readonly responses: {
            /** @description The session */
            readonly 201: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description the cookie of the session: Secure, HttpOnly, SameSite=Strict, Path=/
                     * @example __Host-iwh-console=iwh_session_…; Max-Age=28800; Path=/; HttpOnly; Secure; SameSite=Strict
                     */
                    readonly "Set-Cookie"?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "kind": "customer",
                     *       "customerId": "b18fc81d-457e-4a40-ac87-2b78bd946fa2",
                     *       "customerName": "Acme",
                     *       "readOnly": false,
                     *       "expiresAt": "2026-01-31T12:00:05.000Z"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ConsoleSession"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 409: components["responses"]["Conflict"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly deleteConsoleSession: {
        readonly parameters: {
            readonly query: {
                /** @description the session of which cookie */
                readonly kind: "customer" | "operator";
            };
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody?: never;
        readonly responses: {
            /** @description Signed out */
            readonly 204: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly createConsoleToken: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /**
                 * @example {
                 *       "kind": "customer"
                 *     }
                 */
                readonly "application/json": components["schemas"]["ConsoleTokenRequest"];
            };
        };
        readonly responses: {
            /** @description An access token */
            readonly 200: {
                headers: {
                    readonly "X-Request-Id": components["headers"]["RequestId"];
                    readonly "X-Caller-Request-Id": components["headers"]["CallerRequestId"];
                    /**
                     * @description who may store the answer
                     * @example no-store
                     */
                    readonly "Cache-Control"?: string;
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "access_token": "iwt…",
                     *       "token_type": "Bearer",
                     *       "expires_in": 600,
                     *       "scope": "*:webhooks/**"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ConsoleToken"];
                };
            };
            readonly 400: components["responses"]["BadRequest"];
            readonly 403: components["responses"]["Forbidden"];
            readonly 405: components["responses"]["MethodNotAllowed"];
            readonly 413: components["responses"]["PayloadTooLarge"];
            readonly 415: components["responses"]["UnsupportedMediaType"];
            readonly 429: components["responses"]["TooManyRequests"];
            readonly 500: components["responses"]["InternalServerError"];
            readonly 503: components["responses"]["ServiceUnavailable"];
        };
    };
    readonly receiveEntityCreated: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /** @example eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl */
                readonly "application/secevent+jwt": string;
            };
        };
        readonly responses: {
            /** @description Taken */
            readonly 202: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Not taken; the reason is shown in the history of the event */
            readonly 400: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "err": "invalid_key",
                     *       "description": "The key is too old"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ListenerError"];
                };
            };
        };
    };
    readonly receiveEntityUpdated: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /** @example eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl */
                readonly "application/secevent+jwt": string;
            };
        };
        readonly responses: {
            /** @description Taken */
            readonly 202: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Not taken; the reason is shown in the history of the event */
            readonly 400: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "err": "invalid_key",
                     *       "description": "The key is too old"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ListenerError"];
                };
            };
        };
    };
    readonly receiveEntityDeleted: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /** @example eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl */
                readonly "application/secevent+jwt": string;
            };
        };
        readonly responses: {
            /** @description Taken */
            readonly 202: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Not taken; the reason is shown in the history of the event */
            readonly 400: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "err": "invalid_key",
                     *       "description": "The key is too old"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ListenerError"];
                };
            };
        };
    };
    readonly receiveTest: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /** @example eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl */
                readonly "application/secevent+jwt": string;
            };
        };
        readonly responses: {
            /** @description Taken */
            readonly 202: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Not taken; the reason is shown in the history of the event */
            readonly 400: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "err": "invalid_key",
                     *       "description": "The key is too old"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ListenerError"];
                };
            };
        };
    };
    readonly receiveEndpointFailing: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /** @example eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl */
                readonly "application/secevent+jwt": string;
            };
        };
        readonly responses: {
            /** @description Taken */
            readonly 202: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Not taken; the reason is shown in the history of the event */
            readonly 400: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "err": "invalid_key",
                     *       "description": "The key is too old"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ListenerError"];
                };
            };
        };
    };
    readonly receiveEndpointRecovered: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /** @example eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl */
                readonly "application/secevent+jwt": string;
            };
        };
        readonly responses: {
            /** @description Taken */
            readonly 202: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Not taken; the reason is shown in the history of the event */
            readonly 400: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "err": "invalid_key",
                     *       "description": "The key is too old"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ListenerError"];
                };
            };
        };
    };
    readonly receiveEventsExpired: {
        readonly parameters: {
            readonly query?: never;
            readonly header?: never;
            readonly path?: never;
            readonly cookie?: never;
        };
        readonly requestBody: {
            readonly content: {
                /** @example eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl */
                readonly "application/secevent+jwt": string;
            };
        };
        readonly responses: {
            /** @description Taken */
            readonly 202: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Not taken; the reason is shown in the history of the event */
            readonly 400: {
                headers: {
                    readonly [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "err": "invalid_key",
                     *       "description": "The key is too old"
                     *     }
                     */
                    readonly "application/json": components["schemas"]["ListenerError"];
                };
            };
        };
    };
}
