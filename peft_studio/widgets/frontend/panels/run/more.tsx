// What the run has produced: answers of the model as it trains, files, and the tail of the log.
import { useLocal } from "../../bridge/hooks";
import { CopyButton, IconButton } from "../../ui/button";
import * as format from "../../ui/format";
import { type Line, LogView } from "../../ui/log";
import type { File, Head, RunView, Sample } from "./view";

export function SampleSection({ samples }: { samples: Sample[] }) {
  // null follows the newest; a number stays where the reader has gone.
  const [chosen, setChosen] = useLocal<number | null>("sample", null);
  const at = Math.min(chosen ?? samples.length - 1, samples.length - 1);
  const sample = samples[at];
  if (!sample) return null;
  return (
    <div class="ps-sec">
      <header>
        <h3>Sample at step {format.count(sample.step)}</h3>
        <span class="ps-end ps-row ps-tight">
          <IconButton icon="left" label="Earlier sample" reason={at === 0 ? "This is the first" : undefined} onPress={() => setChosen(at - 1)} />
          <IconButton icon="right" label="Later sample" reason={at === samples.length - 1 ? "This is the newest" : undefined} onPress={() => setChosen(at + 1 === samples.length - 1 ? null : at + 1)} />
        </span>
      </header>
      <dl class="ps-sample">
        <dt>Prompt</dt>
        <dd dir="auto">{sample.prompt}</dd>
        <dt>Answer</dt>
        <dd class="ps-mono" dir="auto">
          {sample.text}
        </dd>
      </dl>
    </div>
  );
}

export function FilesSection({ files, head, now }: { files: File[]; head: Head; now: number }) {
  const waiting = head.live && !files.some((file) => file.name === "adapter");
  return (
    <div class="ps-sec">
      <header>
        <h3>Files</h3>
        <span class="ps-end ps-s ps-muted">kept on this machine</span>
      </header>
      {files.length === 0 && !waiting ? (
        <p class="ps-muted ps-s">No checkpoint and no adapter was saved.</p>
      ) : (
        <table class="ps-table">
          <thead>
            <tr>
              <th>File</th>
              <th class="ps-num">Size</th>
              <th class="ps-num ps-hide-s">Saved</th>
              <th>
                <span class="ps-hidden">Copy</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {files.map((file) => (
              <tr key={file.name}>
                <th scope="row" class="ps-mono" title={file.path}>
                  <bdi>{file.name}</bdi>
                </th>
                <td class="ps-num">{format.fileSize(file.size_bytes)}</td>
                <td class="ps-num ps-hide-s" title={format.fullTime(file.at)}>
                  {head.live ? `${format.duration(Math.max(0, now / 1000 - file.at))} ago` : format.clock(file.at)}
                </td>
                <td class="ps-num">
                  <CopyButton bare text={file.path} label={`Copy the path: ${file.path}`} />
                </td>
              </tr>
            ))}
            {waiting && (
              <tr>
                <th scope="row" class="ps-mono">
                  adapter
                </th>
                <td class="ps-num ps-muted ps-hide-s">—</td>
                <td class="ps-num ps-muted">at the end</td>
                <td />
              </tr>
            )}
          </tbody>
        </table>
      )}
    </div>
  );
}

export function LogSection({ lines, live }: { lines: Line[]; live: boolean }) {
  return (
    <div class="ps-sec">
      <header>
        <h3>Log</h3>
        <span class="ps-end ps-s ps-muted">{lines.length >= 200 ? "last 200 lines" : ""}</span>
      </header>
      {lines.length ? <LogView lines={lines} label="Last lines of the log" /> : <p class="ps-muted ps-s">{live ? "Nothing has been logged yet." : "Nothing was logged."}</p>}
    </div>
  );
}

export function Foot({ view }: { view: RunView }) {
  const { head } = view;
  const text = head.live
    ? "Close this tab or restart the kernel if you like: the run goes on in a process of its own, and any notebook can show it again."
    : head.state === "completed"
      ? "The adapter was loaded once and checked. It loads with plain peft."
      : "";
  return text ? <footer class="ps-foot">{text}</footer> : null;
}
