/**
 * Banyan and http-proxy 1.18.1 side by side: what docs/background/peers.md says of each is what each does.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BEHAVIOURS } from './behaviours.ts'
import { tableOf, watchAll } from './main.ts'
import { PROXIES } from './proxies.ts'

const PAGE = join(import.meta.dirname, '../../docs/background/peers.md')

describe('the behaviours that tell proxies apart', () => {
  test.each(PROXIES.map((kind) => [kind.name, kind] as const))('%s', async (name, kind) => {
    const seen = await watchAll(kind)
    const list = (what: readonly string[]): string[] => BEHAVIOURS.map((one, i) => `${one.name}: ${what[i]}`)
    expect(list(seen)).toEqual(list(BEHAVIOURS.map(({ expected }) => expected[name])))
  })

  test('docs/background/peers.md holds this table', () => {
    const columns = PROXIES.map(({ name }) => ({ name, seen: BEHAVIOURS.map(({ expected }) => expected[name]) }))
    expect(readFileSync(PAGE, 'utf8')).toContain(tableOf(columns))
  })
})
