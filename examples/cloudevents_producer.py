"""Log a prediction and its label with a plain Kafka client; nothing of streamops is imported.

    python examples/cloudevents_producer.py --bootstrap localhost:9092

Any client in any language can do the same: the value follows topics/schemas/PredictionMade.json and
LabelArrived.json, the headers are CloudEvents 1.0 in binary content mode. Three things matter:
- the key is the prediction's id in both, and the partitioner is Kafka's own (murmur2), so that a
  label lies where its prediction lies;
- `id` is unique in its source: send a record again with the same id, and it counts once;
- `time` has a zone, numbers are finite, a missing feature is null.
"""

from __future__ import annotations

import argparse
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

SOURCE = "//example.org/shop"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bootstrap", required=True, help="host:port of Kafka")
    parser.add_argument("--namespace", default="streamops")
    options = parser.parse_args()
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
        }
    )
    prediction = {
        "type": "PredictionMade",
        "id": str(uuid.uuid4()),
        "time": datetime.now(UTC).isoformat(),
        "model": "demand",
        "version": "1",
        "prediction": True,
        "score": 0.83,
        "features": {"price": 9.5, "day": "monday", "stock": None},
        "latency_ms": 4.2,
    }
    label = {
        "type": "LabelArrived",
        "id": str(uuid.uuid4()),
        "time": datetime.now(UTC).isoformat(),
        "prediction_id": prediction["id"],
        "label": False,
    }
    send(producer, f"{options.namespace}.predictions", prediction["id"], prediction)
    send(producer, f"{options.namespace}.labels", prediction["id"], label)
    if producer.flush(30):
        raise SystemExit(f"no answer from {options.bootstrap}")
    print(prediction["id"])


def send(producer: Producer, topic: str, key: Any, event: dict[str, Any]) -> None:
    """Produce one event as a CloudEvent in binary content mode."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event["id"],
        "ce_source": SOURCE,
        "ce_type": event["type"],
        "ce_time": event["time"],
        "content-type": "application/json",
    }
    value = json.dumps(event, allow_nan=False)
    producer.produce(topic, value, key, headers=headers, on_delivery=report)


def report(error: KafkaError | None, message: Message) -> None:
    """Stop at a record that was not delivered."""
    if error is not None:
        raise SystemExit(f"{message.topic()}: {error.str()}")


if __name__ == "__main__":
    main()
