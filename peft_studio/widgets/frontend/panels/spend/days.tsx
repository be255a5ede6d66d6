// Dollars by day, a colour a provider, as bars or as a table of the same words.
import { useState } from "preact/hooks";
import { Button } from "../../ui/button";
import type { Day, SpendView } from "./view";

const colour = (series: number): string => `var(--ps-s${(series % 8) + 1})`;

export function DaysSection({ days, series }: { days: Day[]; series: string[] }) {
  const [table, setTable] = useState(false);
  return (
    <div class="ps-sec" role="region" aria-label="By day">
      <header>
        <h3>By day</h3>
        <span class="ps-muted ps-s">the last {days.length} days, UTC</span>
        <span class="ps-end">
          <Button kind="quiet" small expanded={table} onPress={() => setTable(!table)}>
            Table
          </Button>
        </span>
      </header>
      {table ? <DayTable days={days} series={series} /> : <Bars days={days} series={series} />}
    </div>
  );
}

function Bars({ days, series }: Pick<SpendView, "days" | "series">) {
  const said = days.filter((day) => day.parts.length).map((day) => `${day.date} ${day.usd}`);
  return (
    <>
      <div class="ps-days" role="img" aria-label={said.length ? `Dollars a day: ${said.join(", ")}` : "Nothing was spent on these days"}>
        {days.map((day) => (
          <div key={day.date} title={`${day.date}: ${day.usd} ${day.note}`}>
            <span>{day.parts.length ? day.usd : ""}</span>
            <i class="ps-bars">
              {day.parts.map(([at, usd, share]) => (
                <i key={at} style={{ height: `${100 * share}%`, background: colour(at) }} title={`${day.date}, ${series[at]}: ${usd}`} />
              ))}
            </i>
            <span>{day.date}</span>
          </div>
        ))}
      </div>
      <ul class="ps-legend">
        {series.map((name, at) => (
          <li key={name}>
            <i style={{ background: colour(at) }} />
            <bdi>{name}</bdi>
          </li>
        ))}
      </ul>
    </>
  );
}

function DayTable({ days, series }: Pick<SpendView, "days" | "series">) {
  return (
    <div class="ps-scroll" tabIndex={0} role="region" aria-label="Dollars by day">
      <table class="ps-table">
        <thead>
          <tr>
            <th scope="col">Day</th>
            {series.map((name) => (
              <th key={name} class="ps-num" scope="col">
                <bdi>{name}</bdi>
              </th>
            ))}
            <th class="ps-num" scope="col">
              Together
            </th>
          </tr>
        </thead>
        <tbody>
          {days.map((day) => (
            <tr key={day.date}>
              <th scope="row">{day.date}</th>
              {series.map((name, at) => (
                <td key={name} class="ps-num">
                  {day.parts.find(([series]) => series === at)?.[1] ?? "$0"}
                </td>
              ))}
              <td class="ps-num">{[day.usd, day.note].filter(Boolean).join(" ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
