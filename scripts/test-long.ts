/**
 * `npm run test:long [-- NAME [FLAG...]]`: the tests that take too long for CI, one after the other, or the named one alone with
 * flags of its own. Exit 0 if all have passed. docs/background/testing.md has the results of the last run.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const VITEST = 'node_modules/vitest/vitest.mjs'

interface Job {
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

const JOBS: Readonly<Record<string, Job>> = {
  products: { args: ['scripts/gtin-long.ts'] },
  soak: { args: ['bench/main.ts', 'soak', '--only', 'banyan', '--minutes', '10'] },
  requests: {
    args: [VITEST, 'run', 'test/smuggling/fuzz.heavy.test.ts'],
    env: { BANYAN_FUZZ_REQUESTS: '100000' },
  },
  responses: {
    args: [VITEST, 'run', 'test/wire/differential.test.ts'],
    env: { BANYAN_FUZZ_RUNS: '1000000' },
  },
  'request-parser': {
    args: [VITEST, 'run', 'test/wire/request-differential.heavy.test.ts'],
    env: { BANYAN_FUZZ_RUNS: '1000000' },
  },
  http2: {
    args: [VITEST, 'run', 'test/proxy/client/http2-fuzz.test.ts'],
    env: { BANYAN_FUZZ_RUNS: '1000000' },
  },
  model: { args: [VITEST, 'run', 'test/proxy/caching/model.heavy.test.ts'], env: { BANYAN_MODEL_SECONDS: '600' } },
  cluster: { args: [VITEST, 'run', '--project', 'long', 'test/cluster'] },
  'twenty-minutes': { args: [VITEST, 'run', 'test/deploy/twenty-minutes.long.test.ts'] },
  chaos: { args: ['test/chaos/main.ts', '--seconds', '600'] },
}

/** Runs a job. @returns whether it passed */
function run(name: string, { args, env }: Job, flags: readonly string[]): boolean {
  const words = [...args, ...flags]
  const assignments = Object.entries(env ?? {}).map(([key, value]) => `${key}=${value} `)
  console.log(`test:long ${name}: ${assignments.join('')}node ${words.join(' ')}`)
  const begun = performance.now()
  const { status } = spawnSync(process.execPath, words, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  })
  const seconds = Math.round((performance.now() - begun) / 1000)
  console.log(`test:long ${name}: ${status === 0 ? 'passed' : 'FAILED'} after ${seconds} s`)
  return status === 0
}

const [chosen, ...flags] = process.argv.slice(2)
const names = chosen === undefined ? Object.keys(JOBS) : [chosen]
const unknown = names.find((name) => !Object.hasOwn(JOBS, name))
if (unknown !== undefined) {
  console.error(`test:long: unknown test '${unknown}': must be one of ${Object.keys(JOBS).join(', ')}`)
  process.exit(2)
}
const failed = names.filter((name) => !run(name, JOBS[name] as Job, flags))
process.exitCode = failed.length === 0 ? 0 : 1
