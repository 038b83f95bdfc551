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
  // 1: as it should be, and later than it says, on a busy machine.
  expect([0, 1], stderr).toContain(status)
  expect(JSON.parse(stdout).map((one: { status: string; isClean: boolean }) => [one.status, one.isClean])).toEqual([
    ...Array(4).fill(['rolled-back', true]),
    ['done', null],
  ])
})
