"""Uses the client that openapi-generator makes of docs/openapi.json: token, subscription, publish, list, history, errors.

Prints one JSON object. Arguments: base URL, customer id, client id, client secret, endpoint of a listener.
"""

import json
import sys
import time
import uuid

import identity_webhooks as api


def main(base_url, cid, client_id, client_secret, endpoint):
    basic = api.Configuration(host=base_url, username=client_id, password=client_secret)
    with api.ApiClient(basic) as client:
        token = api.AccessTokensApi(client).create_token(
            cid, grant_type="client_credentials", scope="*:webhooks/**"
        )
    with api.ApiClient(api.Configuration(host=base_url, access_token=token.access_token)) as client:
        subscriptions = api.SubscriptionsApi(client)
        created = subscriptions.create_subscription(
            cid,
            api.NewSubscription(
                title="from Python",
                endpoint=endpoint,
                events=["entityCreated", "entityUpdated"],
                filter={"properties": {"entityUpdated": {"required": ["attributes"]}}},
            ),
        )
        listed = subscriptions.list_subscriptions(cid)

        event = {
            "capture_application_id": "application",
            "capture_client_id": "client",
            "entity_type": "user",
            "sub": str(uuid.uuid4()),
        }
        created_event = api.PublishedEntityCreated(type="entityCreated", **event)
        updated_event = api.PublishedEntityUpdated(type="entityUpdated", attributes=["email"], **event)
        published = api.PublishingApi(client).publish_events(
            cid,
            api.Publication([api.PublishedEvent(created_event), api.PublishedEvent(updated_event)]),
        )

        events = api.EventsApi(client)
        deadline = time.monotonic() + 120
        while True:
            page = events.list_events(cid, created.id, limit=10)
            states = [one.state for one in page.embedded.events]
            if states == ["success", "success"] or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        newest = events.list_events(cid, created.id, order="desc", type="entityUpdated", fields="summary")
        went = events.list_deliveries(cid, page.embedded.events[0].id)
        dry_run = api.RedeliveriesApi(client).start_redelivery(
            cid, created.id, api.NewRedelivery(dry_run=True)
        )
        history = events.get_event_history(cid, created.id, page.embedded.events[0].id)

        try:
            subscriptions.create_subscription(
                cid, api.NewSubscription(title="refused", endpoint="https://user@listener.example/", events=["entityCreated"])
            )
            refused = None
        except api.exceptions.BadRequestException as error:
            refused = json.loads(error.body)

    print(
        json.dumps(
            {
                "subscription": created.title,
                "listed": listed.total,
                "published": [one.type for one in published.embedded.events],
                "states": states,
                "newest": [(one.type, one.request) for one in newest.embedded.events],
                "went": [(one.subscription.title, one.state) for one in went.embedded.deliveries],
                "dry_run": [dry_run.total, dry_run.exact],
                "history": [one.state for one in history.embedded.history],
                "refused": [one["name"] for one in refused["invalid-body-params"]],
            }
        )
    )


main(*sys.argv[1:])
