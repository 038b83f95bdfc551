/**
 * The bulk feed: what its records say, how pages and cut-off feeds are continued, its checksums, its changes and its defects.
 */
import { createHash } from 'node:crypto'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { BASE_DAY, changedDayOf, gtinOf, isDiscontinued, productOf, SEED_NUMBER } from '../../legacy-mock/catalog.ts'
import { DEFECTS, defectOf } from '../../legacy-mock/feed-records.ts'
import { answerOf, ask, exchange, field, get, serve } from './raw.ts'

type Row = Record<string, string | number | null>

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')
const rows = (text: string): Row[] => lines(text).map((line) => JSON.parse(line) as Row)
const sha256 = (text: string): string => createHash('sha256').update(text, 'latin1').digest('hex')

async function feed(port: number, query: string) {
  const answer = await ask(port, get(`/export/gtins?${query}`))
  const all = rows(answer.body)
  return { answer, records: all.filter(({ REC_TYP }) => REC_TYP === 'P' || REC_TYP === 'D'), closing: all.at(-1) }
}

/** A cursor that stands in front of a product. Clients can't make one; these tests look into it. */
function cursorAt(number: number, day: number): string {
  return Buffer.from(`ce1:${number}:${day}`).toString('base64url')
}

describe('records', () => {
  test('tell a product in the codes and paddings of the application', async () => {
    const { port } = await serve()
    const { records } = await feed(port, `limit=1&cursor=${cursorAt(SEED_NUMBER, BASE_DAY)}`)
    expect(records).toEqual([
      {
        REC_TYP: 'P',
        PROD_UPC: '00123456789012',
        SKU_NBR: '1234567890',
        STYL_NBR: '0123456',
        SZ_1_DSC: 'SMALL',
        SZ_2_CD: '4',
        CLR_NM: 'FUSCHIA SA',
        PRC_ORIG_CENTS: 14_000,
        PRC_RCMD_CENTS: 16_000,
        SUBDIV_CD: 'S011',
        CLS_CD: '1102',
        SBCLS_CD: '1102-1',
        SUPP_CD: '1001',
        PROD_DSC: 'A warm fuzzy sweater.',
        STR_PRC: '0003:12000:1500',
        CHG_DT: expect.stringMatching(/^2025\d{4}$/),
        ACT_IND: 'Y',
      },
    ])
  })

  test('their codes stand in the code tables, and mean what the lookup says', async () => {
    const { port } = await serve()
    const codes = JSON.parse((await ask(port, get('/export/codes'))).body)
    const { records } = await feed(port, 'limit=3000')
    expect(records).toHaveLength(3_000)
    for (const [number, record] of records.entries()) {
      const { line, supplier, gtin, color } = productOf(number)
      expect(record.PROD_UPC).toBe(`00${gtin}`)
      expect(record.CLR_NM).toBe(color.padEnd(10))
      expect(codes.SUBDIV_CD[String(record.SUBDIV_CD)]).toBe(line.subdivisionName)
      expect(codes.CLS_CD[String(record.CLS_CD)]).toBe(line.className)
      expect(codes.SBCLS_CD[String(record.SBCLS_CD)]).toBe(line.subclassName)
      expect(codes.SUPP_CD[String(record.SUPP_CD)]).toBe(supplier.name)
    }
  })
})

describe('pages', () => {
  test('follow one another by Link, trailer or closing line, and give what one long feed gives', async () => {
    const { port } = await serve()
    const whole = await feed(port, 'limit=250')
    const paged: Row[] = []
    let cursor = ''
    for (const limit of [100, 1, 149]) {
      const { answer, records, closing } = await feed(port, `limit=${limit}&cursor=${cursor}`)
      paged.push(...records)
      const next = new Map(answer.trailers).get('X-Export-Next-Cursor')
      expect(closing).toMatchObject({ REC_TYP: 'T', CNT: limit, AS_OF: '2026-01-01', NXT_CURSOR: next })
      expect(field(answer, 'Link')).toBe(`<http://shop.test/export/gtins?limit=${limit}&cursor=${next}>; rel="next"`)
      cursor = next ?? ''
    }
    expect(paged).toEqual(whole.records)
  })

  test('the last one says so', async () => {
    const { port } = await serve()
    const { answer, records, closing } = await feed(port, `cursor=${cursorAt(17_999_990, BASE_DAY)}`)
    expect(records).toHaveLength(10)
    expect(records.at(-1)?.PROD_UPC).toBe(`00${gtinOf(17_999_999)}`)
    expect(closing).toMatchObject({ NXT_CURSOR: null })
    expect(new Map(answer.trailers).get('X-Export-Next-Cursor')).toBe('END')
    expect(field(answer, 'Link')).toBeUndefined()
  })

  test('a cursor keeps the day of its feed', async () => {
    const { port } = await serve({ asOf: BASE_DAY + 50 })
    expect((await feed(port, `limit=1&cursor=${cursorAt(5, BASE_DAY + 49)}`)).closing).toMatchObject({
      AS_OF: '2026-02-19',
    })
    expect((await feed(port, 'limit=1')).closing).toMatchObject({ AS_OF: '2026-02-20' })
  })

  test.each(['limit=0', 'limit=-1', 'limit=x', 'cursor=abc', 'since=yesterday', 'since=2026-02-30', 'cut=x'])(
    'refuses %s',
    async (query) => {
      const { port } = await serve()
      expect((await ask(port, get(`/export/gtins?${query}`))).status).toBe(400)
    },
  )
})

describe('checksums', () => {
  test('the trailers count and sum up all lines, the closing line those before it; gzip changes neither', async () => {
    const { port } = await serve()
    const { answer, closing } = await feed(port, 'limit=500')
    const body = answer.body
    expect(new Map(answer.trailers).get('X-Export-Count')).toBe('500')
    expect(new Map(answer.trailers).get('X-Export-SHA256')).toBe(sha256(body))
    expect(closing).toMatchObject({ SHA256: sha256(body.slice(0, body.lastIndexOf('{"REC_TYP":"T"'))) })
    const zipped = await ask(port, get('/export/gtins?limit=500', 'Accept-Encoding: br, gzip'))
    expect(field(zipped, 'Content-Encoding')).toBe('gzip')
    expect(gunzipSync(Buffer.from(zipped.body, 'latin1')).toString('latin1')).toBe(body)
    expect(zipped.trailers).toEqual(answer.trailers)
    const refused = await ask(port, get('/export/gtins?limit=1', 'Accept-Encoding: gzip;q=0, br'))
    expect(field(refused, 'Content-Encoding')).toBeUndefined()
  })
})

describe('changes', () => {
  test('since a day: just the products that changed on it or later, and those that went off sale', async () => {
    const today = BASE_DAY + 150
    const { port } = await serve({ asOf: today })
    const { answer, records } = await feed(port, 'since=2026-05-30&limit=400')
    const due: number[] = []
    for (let n = 0; due.length < 400; n++) if (changedDayOf(n, today) >= today - 1) due.push(n)
    expect(records.map((record) => record.PROD_UPC)).toEqual(due.map((n) => `00${gtinOf(n)}`))
    const gone = due.filter((n) => isDiscontinued(n, today))
    expect(gone.length).toBeGreaterThan(0)
    const deleted = records.filter(({ REC_TYP }) => REC_TYP === 'D')
    expect(deleted.map((record) => record.PROD_UPC)).toEqual(gone.map((n) => `00${gtinOf(n)}`))
    expect(deleted[0]).toMatchObject({ ACT_IND: 'N', CHG_DT: expect.stringMatching(/^202605(30|31)$/) })
    const { records: next } = await feed(
      port,
      `since=2026-05-30&limit=1&cursor=${new Map(answer.trailers).get('X-Export-Next-Cursor')}`,
    )
    expect(Number(next[0]?.PROD_UPC)).toBeGreaterThan(Number(records.at(-1)?.PROD_UPC))
  })

  test('off sale: not in the whole feed, and not found by lookup', async () => {
    const today = BASE_DAY + 150
    let gone = 0
    while (!isDiscontinued(gone, today)) gone++
    const { port } = await serve({ asOf: today })
    const { records } = await feed(port, `limit=1&cursor=${cursorAt(gone, today)}`)
    expect(records[0]?.PROD_UPC).toBe(`00${gtinOf(gone + 1)}`)
    expect((await ask(port, get(`/stores/1/gtins/${gtinOf(gone)}`))).status).toBe(404)
  })
})

describe('defects', () => {
  test('are the same each time, of every sort, and leave the rest as it is', async () => {
    const { port } = await serve()
    const clean = lines((await feed(port, 'limit=5000')).answer.body)
    const answer = await ask(port, get('/export/gtins?limit=5000&defects=on'))
    const rest = lines(answer.body)
    const seen = new Set<string>()
    for (let n = 0; n < 5_000; n++) {
      const defect = defectOf(n, SEED_NUMBER)
      const line = rest.shift()
      if (defect === null) expect(line).toBe(clean[n])
      else seen.add(defect)
      if (defect === 'duplicate') expect([line, rest.shift()]).toEqual([clean[n], clean[n]])
      if (defect === 'latin1') expect(line).toContain('d\xe9cor\xe9')
      if (defect === 'unknown-code') expect(line).toContain('"SBCLS_CD":"9999-9"')
      if (defect === 'missing-field') expect(line).not.toContain('PRC_ORIG_CENTS')
      if (defect === 'check-digit') expect(line).not.toContain(`00${gtinOf(n)}`)
      if (defect === 'check-digit') expect(line).toContain(`00${gtinOf(n).slice(0, 11)}`)
    }
    expect([...seen].sort()).toEqual([...DEFECTS].sort())
    expect(new Map(answer.trailers).get('X-Export-SHA256')).toBe(sha256(answer.body))
  })
})

describe('cut off', () => {
  test('after N records, mid-way; a checkpoint leads on to the rest', async () => {
    const { port } = await serve()
    const cut = answerOf(await exchange(port, get('/export/gtins?cut=25000')))
    expect(cut.complete).toBe(false)
    const got = rows(cut.body)
    expect(got.filter(({ REC_TYP }) => REC_TYP === 'P')).toHaveLength(25_000)
    const checkpoints = got.filter(({ REC_TYP }) => REC_TYP === 'C')
    expect(checkpoints).toHaveLength(2)
    const last = got.indexOf(checkpoints.at(-1) as Row)
    const { records } = await feed(port, `limit=1000&cursor=${checkpoints.at(-1)?.CURSOR}`)
    expect(records.slice(0, 5)).toEqual(got.slice(last + 1, last + 6))
  })

  test('zipped: all records before the cut can be read, the end of the gzip is missing', async () => {
    const { port } = await serve()
    const cut = answerOf(await exchange(port, get('/export/gtins?cut=3000', 'Accept-Encoding: gzip')))
    expect(cut.complete).toBe(false)
    const zipped = Buffer.from(cut.body, 'latin1')
    expect(() => gunzipSync(zipped)).toThrow('unexpected end of file')
    expect(lines(gunzipSync(zipped, { finishFlush: 2 }).toString())).toHaveLength(3_000)
  })
})

test.each([[''], ['gzip']])(
  'a client that does not read makes the feed wait, and nothing piles up (%j)',
  async (coding) => {
    const legacy = await serve()
    const headers = coding === '' ? {} : { 'accept-encoding': coding }
    const answer = await new Promise<IncomingMessage>((resolve) => {
      httpGet(`${legacy.url}/export/gtins`, { headers }, resolve)
    })
    // Each turn of the loop lets the feed write some 40 KiB more, if it does not wait.
    const turns = async () => {
      for (let turn = 0; turn < 3_000; turn++) await new Promise(setImmediate)
      return process.memoryUsage().arrayBuffers
    }
    await turns()
    const before = await turns()
    expect((await turns()) - before).toBeLessThan(16 * 1024 * 1024)
    answer.destroy()
  },
)
