// What would go: every file with its bytes, what deserves a look, what stays here, and the steps that are left to a person.
import { Button } from "../../ui/button";
import { count, fileSize } from "../../ui/format";
import { Notice } from "../../ui/notice";
import { Skeleton } from "../../ui/skeleton";
import { CardSection } from "./card";
import type { Plan, PublishView, Run } from "./view";
import { Findings } from "./where";

export function WhatSections({ view, run }: { view: PublishView; run: Run }) {
  const { state, shown, problem } = view.plan;
  if (state === "failed" && problem)
    return (
      <div class="ps-sec">
        <Notice
          hue="error"
          polite
          fact={problem.message}
          actions={
            <Button small icon="retry" onPress={() => run("look_again")}>
              Look again
            </Button>
          }
        >
          {problem.hint && <p class="ps-s" dir="auto">{problem.hint}</p>}
        </Notice>
      </div>
    );
  if (shown)
    return (
      <>
        <Files plan={shown} />
        {shown.card && <CardSection card={shown.card} />}
      </>
    );
  return state === "busy" ? <Skeleton said="Reading the files and making the card" /> : null;
}

function Files({ plan }: { plan: Plan }) {
  return (
    <div class="ps-sec ps-what">
      <header>
        <h3>What goes</h3>
        <span class="ps-muted ps-s">
          {plan.form === "GGUF" && "as GGUF, written here: Ollama reads no other form of this adapter. "}
          {plan.asked > 0 && `Before it is kept, ${plan.asked} ${plan.asked === 1 ? "answer is" : "answers are"} compared.`}
        </span>
      </header>
      <Findings findings={plan.problems} />
      <table class="ps-table ps-file-table">
        <thead>
          <tr>
            <th scope="col">File</th>
            <th scope="col" class="ps-num">Bytes</th>
            <th scope="col" class="ps-digest">SHA-256</th>
          </tr>
        </thead>
        <tbody>
          {plan.files.map(([path, bytes, sha256]) => (
            <tr key={path}>
              <th scope="row">
                <bdi class="ps-mono-name">{path}</bdi>
              </th>
              <td class="ps-num">{count(bytes)}</td>
              <td class="ps-mono ps-digest" title={sha256}>
                {sha256.slice(0, 12)}…
              </td>
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">{plan.files_total > plan.files.length ? `… and ${count(plan.files_total - plan.files.length)} more; together` : "Together"}</th>
            <td class="ps-num">{count(plan.size_bytes)}</td>
            <td class="ps-digest">{fileSize(plan.size_bytes)}</td>
          </tr>
        </tfoot>
      </table>
      <details class="ps-details">
        <summary>What stays here, and why</summary>
        <dl class="ps-stays">
          {plan.left_out.map(([what, why]) => (
            <div key={what}>
              <dt>{what}</dt>
              <dd>{why}</dd>
            </div>
          ))}
        </dl>
      </details>
      {plan.steps.length > 0 && (
        <>
          <p class="ps-s ps-by-hand">
            {plan.title} has no way to be uploaded to but its page. A folder is made with all of this; the rest is yours:
          </p>
          <ol class="ps-ways ps-s">
            {plan.steps.map((step) => (
              <li key={step} dir="auto">{step}</li>
            ))}
          </ol>
        </>
      )}
    </div>
  );
}
