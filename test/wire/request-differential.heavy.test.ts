/**
 * The comparison of our request reader with node's own server at length.
 */
import { expect, test } from 'vitest'
import { compareWithNode } from './request-differential.ts'

/** Conversations. `BANYAN_FUZZ_RUNS` and `BANYAN_FUZZ_SEED` set others. */
const RUNS = Number(process.env.BANYAN_FUZZ_RUNS ?? 30_000)
const SEED = Number(process.env.BANYAN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 30))

test(`our reader and node read the same in ${RUNS} random conversations (seed ${SEED})`, {
  timeout: 300_000 + RUNS * 10,
}, async () => {
  const tally = await compareWithNode(SEED, RUNS)
  console.log(`${RUNS} conversations compared with node: ${JSON.stringify(tally)}`)
  expect(tally.agreed).toBeGreaterThan(RUNS / 3)
})
