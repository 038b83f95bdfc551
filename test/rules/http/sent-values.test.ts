/**
 * What the cache compares is what is sent: `sentValues` agrees with the head that `requestHead` makes.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dashedName } from '../../../src/rules/http/field-edits.ts'
import { readRequestFields, requestHead, sentValues, unnamedFields } from '../../../src/rules/http/headers.ts'

const NAMES = [
  ...['Host', 'Cookie', 'X-Tenant', 'Connection', 'TE', 'Via', 'CDN-Loop', 'X-Forwarded-For', 'X-Forwarded-Proto'],
  ...['X-Forwarded-Host', 'X-Forwarded-Port', 'Forwarded', 'X-Real-IP', 'Keep-Alive', 'Authorization', 'Banyan-Force'],
]
const value = fc.constantFrom('a', 'trailers', 'x-tenant', 'cookie, x-forwarded-proto', 'https', 'shop.test', 'te')
const EDITED = [
  'X-Tenant',
  'Via',
  'X-Forwarded-For',
  'X-Forwarded-Port',
  'X-Forwarded-Prefix',
  'X-Real-IP',
  'Authorization',
]
const edits = fc.option(
  fc.record({ removed: fc.subarray(EDITED), set: fc.subarray(EDITED) }).map(({ removed, set }) => ({
    drops: new Set([...removed, ...set].map(dashedName)),
    added: set.flatMap((name) => [name, 'set']),
  })),
)
const fields = fc.array(fc.tuple(fc.constantFrom(...NAMES), value), { maxLength: 8 }).map((all) => all.flat())

test('the values of each field are those in the head', () => {
  const hosts = fc.constantFrom(null, 'own.test')
  fc.assert(
    fc.property(fields, fc.boolean(), fc.boolean(), hosts, edits, (rawHeaders, peerTrusted, via, host, edits) => {
      const said = readRequestFields(rawHeaders)
      const more = { host, proto: 'http', minor: 1, instance: 'id', upgrade: null, maxForwards: null } as const
      const rewrite = { ...more, peerAddress: '10.0.0.1', peerTrusted, via, edits, bodyLength: null }
      const lines = requestHead('', rawHeaders, said, rewrite).split('\r\n')
      for (const name of NAMES.map((each) => each.toLowerCase())) {
        const inHead = lines.filter((line) => line.toLowerCase().startsWith(`${name}: `))
        const sent = inHead.map((line) => line.slice(name.length + 2))
        expect([name, sentValues(name, unnamedFields(rawHeaders, said), said, rewrite)]).toEqual([name, sent])
      }
    }),
  )
})
