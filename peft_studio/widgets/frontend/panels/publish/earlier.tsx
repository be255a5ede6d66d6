// What was published of this run before, from the record.
import { began, fileSize, fullTime, UNKNOWN } from "../../ui/format";
import { type Earlier, files } from "./view";

const WORDS: Record<string, string> = { intended: "End not known", published: "Published", bundled: "Folder made", queued: "Waits", failed: "Failed", cancelled: "Called off" };

export function EarlierSection({ earlier }: { earlier: Earlier[] }) {
  if (earlier.length === 0) return null;
  return (
    <div class="ps-sec">
      <header>
        <h3>On the record</h3>
        <span class="ps-muted ps-s">what was sent of this run before</span>
      </header>
      <ul class="ps-earlier">
        {earlier.map((one) => (
          <li key={one.id}>
            <b>{WORDS[one.what] ?? one.what}</b>
            <span>
              {one.url ? (
                <a href={one.url} target="_blank" rel="noopener noreferrer">
                  <bdi>{one.repo}</bdi>
                </a>
              ) : (
                <bdi>{one.repo}</bdi>
              )}{" "}
              <span class="ps-muted">
                at <bdi>{one.title}</bdi>, {files(one.files)}, {fileSize(one.size_bytes)}
                {one.what === "failed" && one.why && <>. <bdi>{one.why}</bdi></>}
              </span>
            </span>
            <span class="ps-muted ps-when" title={one.at === null ? undefined : `${fullTime(one.at)}${one.by && `, by ${one.by}`}`}>
              {one.at === null ? UNKNOWN : began(one.at)}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
