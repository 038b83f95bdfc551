/**
 * scripts/twenty-minutes.ts: a change that fails its tests, or does not compile, is not deployed.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { run } from './twenty-minutes.ts'

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
