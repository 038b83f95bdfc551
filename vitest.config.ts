import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

const HEAVY = 'test/**/*.heavy.test.ts'

/** `npm test` runs the project `quick`, `npm run test:heavy` the project `heavy`. */
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: availableParallelism(),
    // Limits only end a test that hangs: on a busy machine everything may take twenty times as long.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    allowOnly: false,
    projects: [
      { extends: true, test: { name: 'quick', include: ['test/**/*.test.ts'], exclude: [HEAVY] } },
      { extends: true, test: { name: 'heavy', include: [HEAVY] } },
    ],
  },
})
