/**
 * Evidence outlives the process, and nothing that happens to its folder is noticed by a client.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { scriptedUpstream, type UpstreamRequest } from '../support/upstream.ts'

const CANARY = 'canary'
const answering =
  (value: object, fields: readonly string[] = []) =>
  (request: UpstreamRequest) => {
    const body = JSON.stringify(value)
    const head = ['HTTP/1.1 200 OK', 'Content-Type: application/json', ...fields, `Content-Length: ${body.length}`]
    return request.send([...head, '', body].join('\r\n'))
  }
const [legacy, modern] = await Promise.all([
  scriptedUpstream(
    answering({ price: `${CANARY}-1`, gone: 1, secret: { [`${CANARY}-key`]: 1 } }, [
      `Location: http://u:${CANARY}-2@h/?a=${CANARY}-3`,
      `Authorization: ${CANARY}-4`,
    ]),
  ),
  scriptedUpstream(
    answering({ price: `${CANARY}-5`, secret: { [`${CANARY}-other`]: 2 } }, [`Location: http://h/?a=${CANARY}-6`]),
  ),
])
afterAll(() => Promise.all([legacy.stop(), modern.stop()]))

const table = (more = ''): string => `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
  other: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
  - { id: a, match: { path: /a/* }, to: modern, shadow: { percent: 100, redact: [/secret], compare: { headers: [location, authorization] }${more} } }
`

const left: (() => unknown)[] = []
afterEach(async () => {
  for (const undo of left.splice(0).reverse()) await undo()
})

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'banyan-kept-'))
  left.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function started(path: string, ...args: string[]): Promise<Banyan> {
  const banyan = await startBanyan({ table: '', args: ['--table', join(path, 'routes.yaml'), ...args] })
  left.push(() => banyan.stop())
  return banyan
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
async function ask(banyan: Banyan, path: string, method = 'GET'): Promise<any> {
  return (await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`, { method })).json()
}

/** Asks so often, and waits until all of it is compared. */
async function compare(banyan: Banyan, count: number): Promise<void> {
  const before = (await ask(banyan, '/routes/a/comparisons')).comparisons
  for (let i = 1; i <= count; i++) {
    const response = await fetch(`http://127.0.0.1:${banyan.port}/a/1;sid=${CANARY}-7?key=${CANARY}-8`, {
      headers: { Authorization: `Bearer ${CANARY}-9`, Cookie: `sid=${CANARY}-10` },
    })
    expect(response.status).toBe(200)
    await vi.waitFor(async () => expect((await ask(banyan, '/routes/a/comparisons')).comparisons).toBe(before + i), {
      timeout: 120_000,
    })
  }
}

/** Everything below a folder, in one text. */
function bytesBelow(path: string): string {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(path, name)).isFile())
    .map((name) => readFileSync(join(path, name), 'latin1'))
    .join('\n')
}

test('a restart loses nothing: counts of all workers, fields, samples, and the key of the hashes', async () => {
  const path = folder()
  writeFileSync(join(path, 'routes.yaml'), table())
  const first = await started(path, '--workers', '2')
  await compare(first, 6)
  const before = await ask(first, '/routes/a/comparisons')
  expect(before).toMatchObject({ storage: 'folder', problem: null, comparisons: 6, mismatches: 6 })
  const sample = await ask(first, `/samples/${before.samples[0].id}`)
  await first.stop()
  const second = await started(path, '--workers', '2')
  const after = await ask(second, '/routes/a/comparisons')
  expect(after).toEqual(before)
  expect(await ask(second, `/samples/${before.samples[0].id}`)).toEqual(sample)
  await compare(second, 1)
  const next = await ask(second, '/routes/a/comparisons')
  expect(next).toMatchObject({ comparisons: 7, since: before.since })
  const price = (of: typeof next) => of.fields.find((field: { path: string }) => field.path === '/price')
  expect(price(next)).toMatchObject({ count: 7, first: price(before).first, example: price(before).example })
  expect((await ask(second, '/routes/a/comparisons?since=1h')).comparisons).toBe(7)
  expect(await ask(second, '/routes/a/comparisons?since=never')).toMatchObject({ status: 400 })
  // A counter of Prometheus begins with the process.
  const metrics = await (await fetch(`http://127.0.0.1:${second.adminPort}/metrics`)).text()
  expect(metrics).toContain('banyan_shadow_comparisons_total{route="a",result="mismatch"} 1\n')
})

test('other sides begin anew, also where the table was edited while banyan was down', async () => {
  const path = folder()
  writeFileSync(join(path, 'routes.yaml'), table())
  const first = await started(path)
  await compare(first, 2)
  await first.stop()
  writeFileSync(join(path, 'routes.yaml'), table().replace('to: modern', 'to: other'))
  const second = await started(path)
  expect(await ask(second, '/routes/a/comparisons')).toMatchObject({ comparisons: 0, fields: [], samples: [] })
  await second.stop()
  writeFileSync(join(path, 'routes.yaml'), table())
  expect(await ask(await started(path), '/routes/a/comparisons')).toMatchObject({ comparisons: 0, samples: [] })
})

test.each(['', ', samples: values'])(
  'nothing that is redacted is on disk, in log, metrics or API (%s)',
  async (more) => {
    const path = folder()
    // The price is what samples: values is for.
    writeFileSync(
      join(path, 'routes.yaml'),
      table(`${more === '' ? '' : ', samples: values'}`).replace('[/secret]', '[/secret, /price]'),
    )
    const log = join(path, 'access.log')
    const banyan = await started(path, '--access-log', log)
    await compare(banyan, 3)
    const told = await ask(banyan, '/routes/a/comparisons')
    const samples = await Promise.all(told.samples.map(({ id }: { id: string }) => ask(banyan, `/samples/${id}`)))
    const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
    await banyan.stop()
    expect(samples).toHaveLength(3)
    const stored = bytesBelow(join(path, '.banyan'))
    expect(stored).toContain('/price')
    expect(JSON.stringify([told, samples]) + metrics + banyan.log.join('\n')).not.toContain(CANARY)
    expect(stored).not.toContain(CANARY)
    // The access log has the target of the client's own request, as it is asked for.
    expect(readFileSync(log, 'utf8').replaceAll(/"(?:path|target|url)":"[^"]*"/g, '')).not.toMatch(
      /canary-(?:1|2|3|4|5|6|9|10|key|other)\b/,
    )
  },
)

describe('a folder that fails', () => {
  const served = async (banyan: Banyan): Promise<void> => {
    expect((await fetch(`http://127.0.0.1:${banyan.port}/a/1`)).status).toBe(200)
  }

  test('corrupt: the file is moved aside, and that is said', async () => {
    const path = folder()
    writeFileSync(join(path, 'routes.yaml'), table())
    const first = await started(path)
    await compare(first, 1)
    await first.stop()
    const file = join(path, '.banyan/routes.yaml/state.db')
    writeFileSync(file, 'garbage '.repeat(1000))
    const second = await started(path)
    expect(await ask(second, '/routes/a/comparisons')).toMatchObject({ storage: 'folder', comparisons: 0 })
    await second.program.line((line) => line.includes(`${file} is corrupt, moved to ${file}.damaged`))
    await compare(second, 1)
    await second.stop()
    expect((await ask(await started(path), '/routes/a/comparisons')).comparisons).toBe(1)
  })

  test('of a later release: in memory, by name', async () => {
    const path = folder()
    writeFileSync(join(path, 'routes.yaml'), table())
    const first = await started(path)
    await compare(first, 1)
    await first.stop()
    const db = new DatabaseSync(join(path, '.banyan/routes.yaml/state.db'))
    db.exec('PRAGMA user_version = 9')
    db.close()
    const second = await started(path)
    await compare(second, 1)
    const problem = expect.stringMatching('evidence is kept in memory only: .*state.db has format 9')
    expect(await ask(second, '/routes/a/comparisons')).toMatchObject({ storage: 'memory', problem, comparisons: 1 })
    expect(await ask(second, '/readyz')).toMatchObject({ ready: true, reasons: [problem] })
  })

  test('locked by another program: in memory until it is free, and then stored', async () => {
    const path = folder()
    writeFileSync(join(path, 'routes.yaml'), table())
    const first = await started(path)
    await compare(first, 1)
    await first.stop()
    const db = new DatabaseSync(join(path, '.banyan/routes.yaml/state.db'))
    db.exec('BEGIN EXCLUSIVE')
    const second = await started(path)
    await compare(second, 2)
    expect(await ask(second, '/routes/a/comparisons')).toMatchObject({
      ...{ storage: 'memory', problem: expect.stringContaining('database is locked'), comparisons: 2 },
    })
    await served(second)
    db.exec('ROLLBACK')
    db.close()
    await vi.waitFor(
      async () => {
        const told = await ask(second, '/routes/a/comparisons')
        expect(told).toMatchObject({ storage: 'folder', problem: null })
        expect(told.comparisons).toBeGreaterThanOrEqual(3)
      },
      { timeout: 120_000 },
    )
  })

  test('that is none: a file stands in its place', async () => {
    const path = folder()
    writeFileSync(join(path, 'routes.yaml'), table())
    writeFileSync(join(path, '.banyan'), '')
    const banyan = await started(path)
    await compare(banyan, 1)
    expect(await ask(banyan, '/routes/a/comparisons')).toMatchObject({ storage: 'memory', comparisons: 1 })
    await served(banyan)
  })

  const mounted = (): string | null => {
    const path = folder()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', path], { stdio: 'ignore' })
    } catch {
      return null
    }
    left.push(() => execFileSync('umount', ['-l', path]))
    return path
  }
  const canMount = mounted() !== null

  test.runIf(canMount)('a full disk: in memory, and stored when there is space', async () => {
    const [path, disk] = [folder(), mounted() as string]
    writeFileSync(join(path, 'routes.yaml'), table())
    const banyan = await started(path, '--state', disk)
    const filler = join(disk, 'filler')
    try {
      writeFileSync(filler, Buffer.alloc(1024 * 1024))
    } catch {
      // It is full now.
    }
    await compare(banyan, 2)
    const problem = expect.stringContaining('evidence is kept in memory only')
    await vi.waitFor(async () => expect(await ask(banyan, '/routes/a/comparisons')).toMatchObject({ problem }), {
      timeout: 120_000,
    })
    await served(banyan)
    rmSync(filler)
    await banyan.stop()
    expect((await ask(await started(path, '--state', disk), '/routes/a/comparisons')).comparisons).toBe(3)
  })

  test.runIf(canMount)('read-only: what is stored is known, and what is new is in memory', async () => {
    const [path, disk] = [folder(), mounted() as string]
    writeFileSync(join(path, 'routes.yaml'), table())
    const first = await started(path, '--state', disk)
    await compare(first, 2)
    await first.stop()
    execFileSync('mount', ['-o', 'remount,ro', disk])
    const second = await started(path, '--state', disk)
    expect(await ask(second, '/routes/a/comparisons')).toMatchObject({ comparisons: 2 })
    await compare(second, 1)
    await served(second)
    await second.stop()
    execFileSync('mount', ['-o', 'remount,rw', disk])
    expect((await ask(await started(path, '--state', disk), '/routes/a/comparisons')).comparisons).toBe(2)
  })
})
