// What the report found: each finding with its rows, which lead to the row below, and the button that settles it.
import { Fragment } from "preact";
import type { useCommands } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import * as format from "../../ui/format";
import { Icon, type IconName, type Hue } from "../../ui/icon";
import type { DataView, Finding } from "./view";

const SEVERITIES: Record<Finding["severity"], [icon: IconName, hue: Hue, word: string]> = {
  blocking: ["error", "error", "Blocking"],
  warning: ["warn", "warn", "To fix"],
  info: ["info", "info", "To know"],
};
const SHOWN = 3;

interface ReportProps {
  view: DataView;
  commands: ReturnType<typeof useCommands>;
  onRow: (number: number) => void;
}

export function ReportSection({ view: { findings, report, facts, model }, commands, onRow }: ReportProps) {
  return (
    <div class="ps-sec">
      <header>
        <h3>Report</h3>
        <span class="ps-end ps-s ps-muted ps-cut ps-checking">{report ? (report.seconds >= 0.1 ? `checked in ${report.seconds} s` : "checked") : (model.checking ?? "")}</span>
      </header>
      <ul class="ps-checks">
        {findings.map((finding) => (
          <FindingLine key={finding.code} finding={finding} commands={commands} onRow={onRow} />
        ))}
        {facts.left_out > 0 && (
          <li>
            <Icon name="info" hue="muted" />
            <span>{format.count(facts.left_out)} {facts.left_out === 1 ? "row is" : "rows are"} left out</span>
            <Button small kind="quiet" onPress={() => void commands.run("put_back")}>
              Put back
            </Button>
          </li>
        )}
        {report?.passed.map((text) => (
          <li key={text}>
            <Icon name="check" hue="ok" />
            <span dir="auto">{text}</span>
          </li>
        ))}
      </ul>
      {!report && findings.length === 0 && <p class="ps-muted ps-s">Every row is read and checked, then what is found stands here.</p>}
    </div>
  );
}

function FindingLine({ finding, commands, onRow }: { finding: Finding; commands: ReportProps["commands"]; onRow: (number: number) => void }) {
  const [icon, hue, word] = SEVERITIES[finding.severity];
  const rows = finding.rows.slice(0, SHOWN);
  const more = finding.count - rows.length;
  return (
    <li>
      <Icon name={icon} hue={hue} />
      <div>
        <span class="ps-hidden">{word}: </span>
        <span class={finding.severity === "info" ? "" : "ps-strong"} dir="auto">
          {finding.message}
        </span>
        <div class="ps-muted">
          <span dir="auto">{finding.fix}</span>
          {rows.length > 0 && (
            <span>
              {finding.fix && " "}
              {finding.count === 1 ? "Row " : "Rows "}
              {rows.map((row, at) => (
                <Fragment key={row}>
                  {at > 0 && " "}
                  <span class="ps-whole">
                    <button type="button" class="ps-link" aria-label={`Show row ${row}`} onClick={() => onRow(row)}>
                      {format.count(row)}
                    </button>
                    {at < rows.length - 1 ? "," : more > 0 ? "" : "."}
                  </span>
                </Fragment>
              ))}
              {more > 0 && ` and ${format.count(more)} more.`}
            </span>
          )}
        </div>
      </div>
      {finding.action && (
        <Button small onPress={() => void commands.run("fix", { code: finding.code })}>
          {finding.action}
        </Button>
      )}
    </li>
  );
}
