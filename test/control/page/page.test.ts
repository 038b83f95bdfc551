/**
 * The page as files, and the stream that it lives on.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const TOKEN = 'the-secret-of-the-page'

const upstream = await scriptedUpstream((asked) => asked.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
afterAll(() => upstream.stop())

const ROUTES = `routes:
  - { id: one, match: { path: /one }, to: main, percent: 10 }
  - { id: two, match: { paths: [/two, /zwei], methods: [GET] }, to: main }
`

async function started(args: readonly string[] = []) {
  const banyan = await startBanyan({ table: tableFor(upstream.port) + ROUTES, args })
  onTestFinished(async () => void (await banyan.stop()))
  return { banyan, admin: `http://127.0.0.1:${banyan.adminPort}` }
}

interface File {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
}

function file(url: string, headers: Record<string, string> = {}): Promise<File> {
  return new Promise((resolve, reject) => {
    get(url, { headers, agent: false }, (res) => {
      const pieces: Buffer[] = []
      res.on('data', (piece: Buffer) => pieces.push(piece))
      res.on('error', reject)
      res.on('end', () =>
        resolve({ status: res.statusCode as number, headers: res.headers, body: Buffer.concat(pieces) }),
      )
    }).on('error', reject)
  })
}

/** All files that the page loads: those that its scripts and its markup name, and those that these name. */
async function allFiles(admin: string): Promise<Map<string, File>> {
  const files = new Map<string, File>()
  const open = ['/']
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (files.has(path)) continue
    const found = await file(`${admin}${path}`, { 'Accept-Encoding': 'br' })
    expect([path, found.status]).toEqual([path, 200])
    files.set(path, found)
    const text = brotliDecompressSync(found.body).toString()
    const named = /(?:\bfrom\s*|\bimport\s*\(?\s*|src=|href\s*=\s*|url\()["']([./][^"'#]*)["']/g
    for (const [, name] of text.matchAll(named)) open.push(new URL(name as string, `${admin}${path}`).pathname)
  }
  return files
}

test('it needs no token, names no other host, and weighs less than 100 KiB', async () => {
  const { admin } = await started(['--admin-tokens', `page:read:${TOKEN}`])
  const files = await allFiles(admin)
  expect([...files.keys()]).toEqual(
    expect.arrayContaining(['/', '/page/main.js', '/page/page.css', '/page/lib/uplot.js']),
  )
  let bytes = 0
  for (const { headers, body } of files.values()) {
    bytes += body.length
    expect(headers['content-security-policy']).toMatch(
      /default-src 'none'.*frame-ancestors 'none'.*require-trusted-types-for 'script'/,
    )
    expect(headers['content-security-policy']).not.toMatch(/unsafe|https?:|\*/)
    expect(headers['x-content-type-options']).toBe('nosniff')
  }
  expect(bytes).toBeLessThan(100 * 1024)
  expect((await file(`${admin}/live`)).status).toBe(401)
  expect((await file(`${admin}/routes`)).status).toBe(401)
  // The check of Host is for the page too: else a name that is bound anew could read it.
  expect((await file(`${admin}/`, { Host: 'evil.test' })).status).toBe(403)
})

test('files come in the coding that is asked for, and are asked for again by their tag', async () => {
  const { admin } = await started()
  const [br, zipped, plain] = await Promise.all(
    ['br', 'gzip', 'identity'].map((coding) => file(`${admin}/page/format.js`, { 'Accept-Encoding': coding })),
  )
  expect(brotliDecompressSync(br!.body)).toEqual(plain!.body)
  expect(gunzipSync(zipped!.body)).toEqual(plain!.body)
  expect([br, zipped, plain].map((one) => one!.headers['content-encoding'])).toEqual(['br', 'gzip', undefined])
  expect(plain!.body.toString()).not.toContain(': string')
  const again = await file(`${admin}/page/format.js`, {
    'Accept-Encoding': 'br',
    'If-None-Match': String(br!.headers.etag),
  })
  expect([again.status, again.body.length]).toEqual([304, 0])
})

test('other paths are not there', async () => {
  const { admin } = await started()
  const paths = [
    '',
    'nothing.js',
    '../package.json',
    '%2e%2e/main.ts',
    'tsconfig.json',
    'tsconfig.build.json',
    'lib/preact',
  ]
  for (const path of paths) {
    const { status, body } = await file(`${admin}/page/${path}`)
    expect([path, status]).toEqual([path, 404])
    expect(body.toString()).not.toContain('compilerOptions')
  }
})

interface Line {
  readonly revision: number
  readonly table?: readonly { readonly id: string; readonly percent: number; readonly paths: readonly string[] }[]
  readonly routes: Readonly<Record<string, { readonly exchanges: number; readonly sides: object }>>
  readonly unclaimed: { readonly exchanges: number }
}

/** The lines of the stream, one by one. */
async function* lines(admin: string, headers: Record<string, string> = {}): AsyncGenerator<Line> {
  const controller = new AbortController()
  onTestFinished(() => controller.abort())
  const response = await fetch(`${admin}/live`, { signal: controller.signal, headers })
  expect(response.headers.get('content-type')).toBe('application/x-ndjson')
  let rest = ''
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    const found = (rest + piece).split('\n')
    rest = found.pop() as string
    for (const line of found) yield JSON.parse(line) as Line
  }
}

async function until(stream: AsyncGenerator<Line>, wanted: (line: Line) => boolean): Promise<Line> {
  for (;;) {
    const { value, done } = await stream.next()
    if (done === true) throw new Error('the stream has ended')
    if (wanted(value)) return value
  }
}

test('the stream has all routes first, then what changes: figures, and the table after an edit', async () => {
  const { banyan, admin } = await started()
  const stream = lines(admin)
  const first = await until(stream, () => true)
  expect(first.table?.map(({ id, percent, paths }) => [id, percent, paths])).toEqual([
    ['one', 10, ['/one']],
    ['two', 0, ['/two', '/zwei']],
  ])
  expect(Object.keys(first.routes)).toEqual(['one', 'two'])
  await fetch(`http://127.0.0.1:${banyan.port}/one`)
  const moved = await until(stream, ({ routes }) => (routes.one?.exchanges ?? 0) > 0)
  expect(moved.table).toBeUndefined()
  expect(moved.routes.one?.sides).toHaveProperty('main.exchanges', 1)
  await fetch(`${admin}/routes/two`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json' },
    body: '{"percent": 50}',
  })
  const edited = await until(stream, ({ revision }) => revision === 2)
  expect(edited.table?.[1]?.percent).toBe(50)
})

test('there are so many readers at most, and one that leaves makes room, which is no fault', async () => {
  const { banyan, admin } = await started()
  const controllers = Array.from({ length: 32 }, () => new AbortController())
  onTestFinished(() => {
    for (const controller of controllers) controller.abort()
  })
  const all = await Promise.all(controllers.map(({ signal }) => fetch(`${admin}/live`, { signal })))
  expect(all.every(({ status }) => status === 200)).toBe(true)
  const refused = await fetch(`${admin}/live`)
  expect([refused.status, ((await refused.json()) as { type: string }).type]).toEqual([
    503,
    'urn:banyan:problem:too-many-watchers',
  ])
  controllers[0]!.abort()
  await expect
    .poll(async () => {
      const controller = new AbortController()
      const { status } = await fetch(`${admin}/live`, { signal: controller.signal })
      controller.abort()
      return status
    })
    .toBe(200)
  expect(banyan.log.filter((line) => line.includes('admin-broken'))).toEqual([])
})

test('the stream of a token that is taken away ends', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-page-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'tokens')
  writeFileSync(file, `one read ${TOKEN}\nother read the-secret-of-another\n`)
  const { admin } = await started(['--admin-token-file', file])
  const [one, other] = [TOKEN, 'the-secret-of-another'].map((secret) =>
    lines(admin, { Authorization: `Bearer ${secret}` }),
  )
  await Promise.all([until(one!, () => true), until(other!, () => true)])
  writeFileSync(file, 'other read the-secret-of-another\n')
  await expect(until(one!, () => false)).rejects.toThrow('the stream has ended')
  await until(other!, () => true)
})

test('a reader that reads nothing is no burden, and banyan ends while there are readers', async () => {
  const { banyan, admin } = await started()
  const controller = new AbortController()
  onTestFinished(() => controller.abort())
  const deaf = await fetch(`${admin}/live`, { signal: controller.signal })
  const stream = lines(admin)
  await until(stream, () => true)
  await until(stream, () => true)
  expect(deaf.status).toBe(200)
  expect(await banyan.stop()).toBe(0)
})
