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

test('a change goes through its tests and a rolling deploy to live, and no request fails', async () => {
  const { code, said, complaint } = await run()
  expect(complaint).toBe('')
  for (const step of [
    'before',
    'change',
    'types',
    'tests',
    'package',
    'deploy 1/3',
    'deploy 2/3',
    'deploy 3/3',
    'live',
  ]) {
    expect(said).toMatch(new RegExp(`^${step} +\\d+\\.\\d s`, 'm'))
  }
  expect(said).toMatch(/all 3 instances run build [0-9a-f]{12}; 30 of 30 answers are theirs/)
  expect(said).toMatch(/; 0 of \d{3,} requests failed$/)
  expect(code).toBe(0)
})

/** Runs the script with a change that adds files, one line each. */
async function runWith(added: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-patch-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const patch = join(folder, 'broken.patch')
  const parts = Object.entries(added).map(([name, line]) => `--- /dev/null\n+++ b/${name}\n@@ -0,0 +1 @@\n+${line}\n`)
  writeFileSync(patch, parts.join(''))
  return run('--patch', patch)
}

test('a change that fails its tests is not deployed', async () => {
  const { code, said, complaint } = await runWith({
    'gtin-service/broken.ts': 'export const broken = true',
    'test/gtin-service/conditions-broken.test.ts': "await import('no-such-' + 'module')",
  })
  expect(code).toBe(1)
  expect(complaint).toMatch(/^twenty-minutes: .* ended with 1/)
  expect(complaint).toContain('no-such-module')
  expect(said).not.toContain('deploy')
})

test('a change that is no sound TypeScript is not deployed', async () => {
  const { code, said, complaint } = await runWith({ 'gtin-service/broken.ts': "export const broken: number = 'text'" })
  expect(code).toBe(1)
  expect(complaint).toContain('TS2322')
  expect(said).not.toMatch(/^(tests|package|deploy)/m)
})
