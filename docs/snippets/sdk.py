import streamops

with streamops.Client("localhost:9092", source="shop") as client:
    sale = client.log_prediction(
        model="demand", version="1", prediction=True, features={"price": 9}
    )
    client.log_label(sale, False)
    for alert in client.alerts(follow=False):
        print(alert)
