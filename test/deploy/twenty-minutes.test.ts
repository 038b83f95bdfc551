/**
 * scripts/twenty-minutes.ts: a change gets live under load without a failed request; one that fails its tests does not.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Program, startProgram } from '../support/process.ts'

/** Runs the script with a part of the service's tests. */
async function run(...args: string[]): Promise<{ code: number | null; said: string; complaint: string }> {
  const script = startProgram(['scripts/twenty-minutes.ts', '--tests', 'test/gtin-service/conditions', ...args])
  onTestFinished(async () => {
    await script.stop()
  })
  const code = await exitOf(script)
  return { code, said: script.log.join('\n'), complaint: script.stderr }
}

function exitOf({ child }: Program): Promise<number | null> {
  return new Promise((resolve) => child.once('close', resolve))
}

test('a change goes through its tests and a rolling deploy to live, and no request fails', {
  timeout: 120_000,
}, async () => {
  const { code, said, complaint } = await run()
  expect(complaint).toBe('')
  for (const step of ['before', 'change', 'tests', 'package', 'deploy 1/3', 'deploy 2/3', 'deploy 3/3', 'live']) {
    expect(said).toMatch(new RegExp(`^${step} +\\d+\\.\\d s`, 'm'))
  }
  expect(said).toMatch(/; 0 of \d{3,} requests failed$/)
  expect(code).toBe(0)
})

test('a change that fails its tests is not deployed', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-patch-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const patch = join(folder, 'broken.patch')
  const file = 'gtin-service/broken.ts'
  const broken = 'test/gtin-service/conditions-broken.test.ts'
  const added = (name: string, line: string): string => `--- /dev/null\n+++ b/${name}\n@@ -0,0 +1 @@\n+${line}\n`
  writeFileSync(patch, added(file, 'export const broken = true') + added(broken, "import 'no-such-module'"))
  const { code, said, complaint } = await run('--patch', patch)
  expect(code).toBe(1)
  expect(complaint).toMatch(/^twenty-minutes: .* ended with 1/)
  expect(complaint).toContain('no-such-module')
  expect(said).not.toContain('deploy')
})
