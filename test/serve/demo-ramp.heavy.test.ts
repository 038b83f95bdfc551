/**
 * `npm run demo:ramp`: bad versions are taken back in time, a good one goes to all.
 */
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

test('the demo of ramps ends as it should', { timeout: 600_000 }, () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/demo-ramp.ts', '--json'], {
    encoding: 'utf8',
    timeout: 600_000,
  })
  expect(status, stderr).toBe(0)
  expect(JSON.parse(stdout).map(({ status }: { status: string }) => status)).toEqual([
    ...['rolled-back', 'rolled-back', 'rolled-back', 'rolled-back', 'done'],
  ])
})
