// Numbers as words (look.md section 3).
import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../ui/format";

const plain = (text: string): string => text.replaceAll("\u202f", " ");

test("durations have the two largest units", () => {
  assert.deepEqual([0, 48, 60, 872, 9660, 273_600].map((s) => plain(format.duration(s))), ["0 s", "48 s", "1 m", "14 m 32 s", "2 h 41 m", "3 d 4 h"]);
  assert.equal(plain(format.duration(3.14, true)), "3.1 s");
});

test("what remains is no finer than it is known", () => {
  assert.equal(plain(format.remaining(803)), "13 m 20 s");
  assert.equal(plain(format.remaining(9640)), "2 h 41 m");
  assert.equal(format.remainingRange(42, 42.2), "");
});

test("unknown is a dash, never 0", () => {
  for (const say of [format.count, format.loss, format.rate, format.large, format.gib, format.fileSize, format.exponent, format.duration])
    for (const nothing of [null, undefined, NaN]) assert.equal(say(nothing), "—");
});

test("numbers keep what matters", () => {
  assert.equal(format.exponent(2e-4), "2e-4");
  assert.equal(format.exponent(9.5e-5), "9.5e-5");
  assert.equal(format.rate(11_234), "11,200");
  assert.equal(format.rate(84.31), "84.3");
  assert.equal(plain(format.large(9_740_000)), "9.74 M");
  assert.equal(format.loss(0.7924), "0.792");
  assert.equal(plain(format.fileSize(58_700_000)), "59 MB");
});

test("ticks have as many decimals as tell them apart", () => {
  assert.deepEqual([2.05, 2.1, 2.15].map((value) => format.tick(value, 0.05)), ["2.05", "2.10", "2.15"]);
  assert.equal(format.tick(1500, 500), "1,500");
});
