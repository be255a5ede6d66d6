// What stands first: model, data, where, and the few fields that everybody looks at.
import type { useCommands } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Input } from "../../ui/field";
import { FormField } from "../../ui/form-field";
import { count } from "../../ui/format";
import { Icon } from "../../ui/icon";
import { Notice } from "../../ui/notice";
import { SpecField } from "./fields";
import type { TrainView } from "./view";

interface BasicsProps {
  view: TrainView;
  formId: string;
  commands: ReturnType<typeof useCommands>;
}

export function Basics({ view, formId, commands }: BasicsProps) {
  const first = view.groups[0]?.fields ?? [];
  return (
    <div class="ps-sec">
      <div class="ps-form">
        <FormField id={`${formId}-model`} label="Base model">
          <span class="ps-wide">
            <Input
              id={`${formId}-model`}
              icon="model"
              value={view.model.name}
              label="Base model"
              placeholder="Embedded name, hub id or folder"
              suggestions={view.model.known}
              onChange={(model) => commands.run("choose_model", { model })}
            />
          </span>
        </FormField>
        <FormField id={`${formId}-data`} label="Data" group>
          <DataWords view={view} />
          <Button onPress={() => void commands.run("open_step", { panel: "data" })}>{view.data ? "Open data" : "Choose data"}</Button>
        </FormField>
        <Deriving view={view} commands={commands} />
        {first.map((name) => {
          const field = view.fields[name];
          return field && <SpecField key={name} view={view} name={name} field={field} formId={formId} commands={commands} />;
        })}
        <FormField id={`${formId}-where`} label="Where" group>
          <Icon name="laptop" hue="muted" />
          <span>This machine{view.machine && <span class="ps-muted">, {view.machine}</span>}</span>
        </FormField>
      </div>
    </div>
  );
}

function DataWords({ view: { data } }: { view: TrainView }) {
  if (!data) return <span class="ps-muted ps-grow">None chosen</span>;
  const held = data.held_out ? `, ${count(data.held_out)} held out` : "";
  const left = data.left_out ? `, ${count(data.left_out)} left out` : "";
  return (
    <span class="ps-grow ps-row">
      <Icon name="data" hue="muted" />
      <span class="ps-cut" title={data.origin}>
        <bdi>{data.name}</bdi>
      </span>
      <span class="ps-s ps-muted">
        {count(data.rows)} rows{held}
        {left}, {data.format}
      </span>
    </span>
  );
}

/** The way from a model and data to the other fields: what is missing, what it is at, or why it did not work. */
function Deriving({ view, commands }: { view: TrainView; commands: ReturnType<typeof useCommands> }) {
  const { deriving, missing, model } = view;
  if (deriving.problem)
    return (
      <Notice hue="error" urgent fact={deriving.problem.message} actions={<Button small onPress={() => void commands.run("try_again")}>Try again</Button>}>
        <p class="ps-s">{deriving.problem.hint}</p>
      </Notice>
    );
  if (deriving.busy)
    return (
      <p class="ps-row ps-s ps-muted">
        <Icon name="open" hue="info" turning />
        <span class="ps-cut">
          Preparing <bdi>{model.name}</bdi>
          {deriving.doing && `: ${deriving.doing}`}
        </span>
      </p>
    );
  if (!missing.length) return null;
  const what = missing.map((one) => (one === "model" ? "a base model" : one)).join(" and ");
  return <p class="ps-s ps-muted">Choose {what}: {view.fields["rank"] ? "a run needs both." : "the other fields follow from them."}</p>;
}
