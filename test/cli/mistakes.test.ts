/**
 * mistakes.md: what `banyan check` says of the mistakes that people make. Each is one error, at its place, with the right form.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { selfSigned } from '../support/certificates.ts'
import { banyan } from './rig.ts'

const page = readFileSync(new URL('mistakes.md', import.meta.url), 'utf8')
const HEAD = /^```yaml\n([\s\S]*?)^```$/m.exec(page)?.[1] as string
const cases = page
  .split(/^## /m)
  .slice(1)
  .map((section) => {
    const [, name, text, said] = /^(.*)\n\n```yaml\n([\s\S]*?)^```\n\n```text\n([\s\S]*?)^```$/m.exec(section) ?? []
    return { name: name as string, text: text as string, said: said as string }
  })

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-mistakes-'))
  const [client, other] = [selfSigned('client', null), selfSigned('other', null)]
  const locked = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const
  const files = {
    'client.pem': client.cert,
    'key.pem': client.key,
    'other-key.pem': other.key,
    'locked-key.pem': createPrivateKey(client.key).export(locked),
    'ca.der': new X509Certificate(client.cert).raw,
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('at least forty mistakes', () => {
  expect(cases.length).toBeGreaterThanOrEqual(40)
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length)
})

test.each(cases)('$name', async ({ text, said }) => {
  const table = /^(?:version|%)/.test(text) ? text : HEAD + text
  const file = join(folder, 'routes.yaml')
  const { err } = await banyan(['check', file], { files: { [file]: table } })
  expect(err.replaceAll(`${folder}/`, '').replaceAll(folder, '.')).toBe(said)
})

test('each but those that show two is one error', () => {
  const more = cases.filter(({ said }) => !/^1 (?:error|warning)$/m.test(said)).map(({ name }) => name)
  expect(more).toEqual(TWO_MISTAKES)
})

/** Their tables have two. */
const TWO_MISTAKES = ['A time in words', 'A key of another proxy', 'A switch in the place of settings']
