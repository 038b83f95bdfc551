import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const HEAVY = 'test/**/*.heavy.test.ts'
const LONG = 'test/**/*.long.test.ts'

/** Files that take longest, by themselves, the longest first. */
const LONGEST = [
  ...['deploy/tutorial', 'control/page/browser', 'deploy/twenty-minutes', 'processes/outputs', 'serve/ramp'],
  ...['proxy/caching/redis-order', 'processes/connections', 'serve/evidence-kept', 'proxy/shadow/undisturbed'],
  ...['cluster/losses', 'cluster/servers', 'cluster/edits'],
  ...['proxy/upstream/post-once', 'processes/deaths'],
  ...['e2e/soak', 'cli/deploy/rolling', 'deploy/package', 'gtin-service/sync-process', 'cluster/membership'],
  ...[
    'processes/signals',
    'cluster/partitions',
    'cluster/ramps',
    'cluster/failover',
    'cluster/drains',
    'processes/together',
    'cluster/acme',
    'serve/demo-ramp',
    'chaos/chaos',
  ],
  ...['serve/control-plane', 'cli/command-line', 'proxy/tracing', 'serve/large-table', 'e2e/main-job', 'e2e/demo'],
]

/** Begins with the files that take longest: begun last, one of them would run alone while the other cores have nothing to do. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((one) => new RegExp(`/test/${one}\\.(heavy\\.)?test\\.ts$`).test(moduleId))
      return at === -1 ? LONGEST.length : at
    }
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other))
  }
}

/** `npm test` runs the project `quick`, `npm run test:heavy` the project `heavy`, `npm run test:long` files of `long` too. */
export default defineConfig({
  test: {
    pool: 'forks',
    // A test waits more than half of its time: for a process to start or to end, for a timer of the proxy.
    maxWorkers: Math.ceil(2.5 * availableParallelism()),
    sequence: { sequencer: LongestFirst },
    // Limits only end a test that hangs: on a busy machine everything may take twenty times as long.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 120_000,
    expect: { poll: { timeout: 120_000 } },
    allowOnly: false,
    projects: [
      { extends: true, test: { name: 'quick', include: ['test/**/*.test.ts'], exclude: [HEAVY, LONG] } },
      { extends: true, test: { name: 'heavy', include: [HEAVY] } },
      { extends: true, test: { name: 'long', include: [LONG] } },
    ],
  },
})
