// What waits for the network or was refused: since when, next try, and what to do about it.
import { useState } from "preact/hooks";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { began, count, duration, fileSize, fullTime } from "../../ui/format";
import { Icon } from "../../ui/icon";
import { Notice } from "../../ui/notice";
import type { ConnectView, Entry, Run } from "./view";

export function OutboxSection({ outbox, offline, now, run }: { outbox: ConnectView["outbox"]; offline: boolean; now: number; run: Run }) {
  const [dropping, setDropping] = useState<Entry | null>(null);
  const [said, setSaid] = useState("");
  const { entries } = outbox;
  return (
    <div class="ps-sec ps-outbox">
      <header>
        <h3>Waiting to be sent</h3>
        <span class="ps-muted ps-s" role="status">
          {said || outbox.summary}
        </span>
        {entries.length > 0 && (
          <span class="ps-end">
            <Button small icon="upload" reason={offline ? "There is no network" : undefined} onPress={() => run("sync").then((words) => setSaid(typeof words === "string" ? words : ""))}>
              Send now
            </Button>
          </span>
        )}
      </header>
      {outbox.problem && (
        <Notice hue="warn" icon="lock" fact={outbox.problem.message}>
          <p class="ps-s">{outbox.problem.hint}</p>
        </Notice>
      )}
      {entries.length > 0 && (
        <ul class="ps-entries">
          {entries.map((entry) => (
            <li key={entry.id} data-state={entry.state}>
              <Icon name={entry.state === "dead" ? "error" : "queued"} hue={entry.state === "dead" ? "error" : "muted"} />
              <span class="ps-entry">
                <b>{entry.state === "dead" ? (entry.cause === "refused" ? "Refused" : "Needs you") : "Waits"}</b> <bdi>{entry.kind}</bdi> <span class="ps-muted">to</span> <bdi>{entry.target}</bdi>
                {entry.reason && <span class="ps-why-entry" dir="auto">{entry.reason}</span>}
                <span class="ps-muted" title={fullTime(entry.since)}>
                  since {began(entry.since)}
                  {entry.size_bytes >= 1000 && `, ${fileSize(entry.size_bytes)}`}
                  {entry.tries > 0 && `, tried ${count(entry.tries)} ${entry.tries === 1 ? "time" : "times"}`}
                  {next(entry, offline, now)}
                </span>
              </span>
              <span class="ps-acts">
                {(entry.state === "dead" || entry.next_at !== null) && (
                  <Button small label={`Try again, ${entry.kind} to ${entry.target}`} onPress={() => run("retry", { entry_id: entry.id })}>
                    Try again
                  </Button>
                )}
                <Button small kind="quiet" label={`Drop ${entry.kind} to ${entry.target}`} onPress={() => setDropping(entry)}>
                  Drop…
                </Button>
              </span>
            </li>
          ))}
        </ul>
      )}
      {outbox.more > 0 && <p class="ps-s ps-muted">… and {count(outbox.more)} more</p>}
      {dropping && (
        <Dialog
          title={`Drop this ${dropping.kind}?`}
          facts={[
            ["Where to", dropping.target],
            ["Size", fileSize(dropping.size_bytes)],
            ["Gone", dropping.unsure ? "It is not sent again. It may have arrived already: look there." : "It is never sent. It cannot come back."],
            ["Goes on", "what waits behind it"],
          ]}
          verb="Drop"
          danger
          onConfirm={() => void run("drop", { entry_id: dropping.id })}
          onClose={() => setDropping(null)}
        />
      )}
    </div>
  );
}

function next(entry: Entry, offline: boolean, now: number): string {
  if (entry.state === "dead") return entry.unsure ? "; it may have arrived: look there first" : "";
  if (offline) return "; next try when the network is back";
  const left = entry.next_at === null ? 0 : entry.next_at - now / 1000;
  return left > 0 ? `; next try in ${duration(left)}` : "; next try at once";
}
