/**
 * The anti-corruption layer: which record becomes what, row by row; and that its names stay in its two files.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readCodes, translate } from '../../gtin-service/sync/records.ts'
import { CODES, record } from './feed.ts'
import { SEED } from './raw.ts'

const codes = readCodes(CODES)

test('a product comes out in our words: codes named, padding gone, cents as cents', () => {
  expect(translate(record(), codes)).toEqual({ kind: 'put', product: SEED })
  const padded = record({ CLR_NM: 'BONE      ', SZ_2_CD: '', SUBDIV_CD: ' S011 ', PROD_UPC: ' 00123456789012 ' })
  expect(translate(padded, codes)).toEqual({ kind: 'put', product: { ...SEED, color: 'BONE', size2: '' } })
})

test.each([
  ['0003:12000:1500', [['3', 12_000, 1_500]]],
  [
    '0003:12000:1500;0240:1:0',
    [
      ['3', 12_000, 1_500],
      ['240', 1, 0],
    ],
  ],
  ['', []],
] as const)('store prices %j', (text, prices) => {
  const change = translate(record({ STR_PRC: text }), codes)
  const expected = prices.map(([store, regularRetail, specialRetail]) => ({ store, regularRetail, specialRetail }))
  expect(change).toEqual({ kind: 'put', product: { ...SEED, prices: expected } })
})

test.each([
  ['a deletion', { REC_TYP: 'D', PROD_UPC: '00123456789012' }],
  ['a product that is not active', record({ ACT_IND: 'N' })],
])('%s is a removal', (_, row) => {
  expect(translate(row, codes)).toEqual({ kind: 'remove', key: SEED.key })
})

test.each([
  ['no GTIN', { PROD_UPC: undefined }, 'missing-field'],
  ['a wrong check digit', { PROD_UPC: '00123456789013' }, 'check-digit'],
  ['letters in the GTIN', { PROD_UPC: '0012345678901X' }, 'bad-gtin'],
  ['a GTIN too long', { PROD_UPC: '000123456789012' }, 'bad-gtin'],
  ['a GTIN that is a number', { PROD_UPC: 123456789012 }, 'missing-field'],
  ['another kind of record', { REC_TYP: 'X' }, 'unknown-record'],
] as const)('%s: rejected, with no product to keep', (_, change, reason) => {
  expect(translate(record(change), codes)).toEqual({ kind: 'reject', reason, key: null })
})

test.each([
  ['no SKU', { SKU_NBR: undefined }, 'missing-field'],
  ['an empty SKU', { SKU_NBR: '   ' }, 'missing-field'],
  ['no description', { PROD_DSC: undefined }, 'missing-field'],
  ['a description that is a number', { PROD_DSC: 5 }, 'bad-value'],
  ['half a surrogate pair', { PROD_DSC: 'A \ud800 sweater' }, 'bad-value'],
  ['no price', { PRC_ORIG_CENTS: undefined }, 'missing-field'],
  ['a price in dollars', { PRC_ORIG_CENTS: 140.5 }, 'bad-value'],
  ['a negative price', { PRC_RCMD_CENTS: -1 }, 'bad-value'],
  ['a price as text', { PRC_RCMD_CENTS: '16000' }, 'bad-value'],
  ['an unknown subdivision', { SUBDIV_CD: 'S999' }, 'unknown-code'],
  ['an unknown class', { CLS_CD: '' }, 'unknown-code'],
  ['an unknown subclass', { SBCLS_CD: '9999-9' }, 'unknown-code'],
  ['an unknown supplier', { SUPP_CD: '__proto__' }, 'unknown-code'],
  ['a code that is a number', { SUPP_CD: 1001 }, 'bad-value'],
  ['no code', { SUPP_CD: undefined }, 'missing-field'],
  ['an unknown state', { ACT_IND: '?' }, 'unknown-code'],
  ['no state', { ACT_IND: undefined }, 'missing-field'],
  ['a price list of another form', { STR_PRC: '0003:12000' }, 'bad-value'],
  ['one price too many', { STR_PRC: '0003:1:1:1' }, 'bad-value'],
  ['a store twice', { STR_PRC: '0003:1:1;3:1:1' }, 'bad-value'],
  ['a negative store price', { STR_PRC: '0003:-1:1' }, 'bad-value'],
  ['no price list', { STR_PRC: undefined }, 'missing-field'],
] as const)('%s: rejected, the product stays as it was', (_, change, reason) => {
  expect(translate(record(change), codes)).toEqual({ kind: 'reject', reason, key: SEED.key })
})

test.each([null, [], 'x', {}, { ...CODES, SUPP_CD: undefined }, { ...CODES, CLS_CD: { a: 1 } }])(
  'code tables that are none are refused: %j',
  (document) => {
    expect(() => readCodes(document)).toThrow()
  },
)

describe('the layer', () => {
  test("is the only place that knows the enterprise product's names", () => {
    const root = join(import.meta.dirname, '../../gtin-service')
    const names = /\b(REC_TYP|PROD_UPC|[A-Z]+_(?:CD|NBR|DSC|NM|CENTS|PRC|IND|DT|CURSOR))\b|export\/gtins/
    const knowing = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .filter((path) => names.test(readFileSync(join(root, path), 'utf8')))
    expect(knowing.sort()).toEqual(['sync/feed.ts', 'sync/records.ts'])
  })

  test('knows nothing of stores and files, and the lookup and the store nothing of it', () => {
    const root = join(import.meta.dirname, '../../gtin-service')
    const importsOf = (path: string) =>
      [...readFileSync(join(root, path), 'utf8').matchAll(/ from '([^']+)'/g)].map(([, from]) => from)
    for (const path of ['sync/feed.ts', 'sync/records.ts']) {
      for (const from of importsOf(path)) expect(from, path).not.toMatch(/store|node:(fs|sqlite)/)
    }
    const lookup = readdirSync(root).filter((name) => name.endsWith('.ts') && name !== 'main.ts')
    for (const path of lookup) for (const from of importsOf(path)) expect(from, path).not.toMatch(/sync\//)
  })
})
