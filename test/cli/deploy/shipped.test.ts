/**
 * The tables that are shipped allow the deploys that the docs tell of: their new side has health checks to wait for.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { banyan as inProcess } from '../rig.ts'

const PROJECT = join(import.meta.dirname, '../../..')

test.each([
  ['routes.yaml', []],
  ['deploy/compose/routes.yaml', []],
  // One server, the Service: there the Deployment rolls.
  ['deploy/kubernetes/overlays/blue/routes.yaml', ['--allow-last']],
  ['deploy/kubernetes/overlays/green/routes.yaml', ['--allow-last']],
])('%s: a rolling deploy is not refused', async (file, more) => {
  const banyan = await startBanyan({ table: readFileSync(join(PROJECT, file), 'utf8') })
  onTestFinished(async () => void (await banyan.stop()))
  const words = ['deploy', 'rolling', 'gtin', '--replace', 'x', '--dry-run', ...more]
  const { code, out } = await inProcess(words, { env: { BANYAN_ADMIN: `127.0.0.1:${banyan.adminPort}` } })
  expect(out).toMatch(/would drain .* run x, wait until it is healthy/)
  expect(code).toBe(0)
})
