"""The whole job in a script: rows → checked data → run → adapter → answers. Needs no account, no network and no GPU.

python examples/finetune.py
"""

from peft_studio import studio
from peft_studio.quickstart import data_path  # 400 orders in words, each with its JSON record; put your own file here

data = studio.data(str(data_path()))
print(data.report("smollm2-135m"))

spec = studio.spec(
    model="smollm2-135m", data=data, rank=8, learning_rate=1e-3, max_steps=30, gradient_accumulation_steps=1
)
print(spec.explain())  # every field: its value, why, and who says so

run = studio.launch(spec)  # returns at once; the run outlives this script
print(run.id, "is under way; peft-studio attach shows it live")
run.wait()  # raises RunFailed, with what to do, if it does not end well
print(run.adapter)

order = "Turn the order into JSON: Please send six rain coats to Mina, Turin, by Wednesday."
with studio.chat("smollm2-135m", adapters={"json": run.adapter}) as chat:
    print("base: ", chat.ask(order, adapter=None, max_new_tokens=64).text)
    print("tuned:", chat.ask(order, adapter="json", max_new_tokens=64).text)
