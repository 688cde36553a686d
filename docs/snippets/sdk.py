import streamops

with streamops.Client("localhost:9092", source="shop") as client:
    sale = client.log_prediction(model="demand", version="1", prediction=1, features={"price": 9})
    client.log_label(sale, 0)
    print(list(client.alerts(follow=False)))
