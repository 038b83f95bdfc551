/**
 * A table of thousands of routes, in one process and with workers: clients are served while it is put in force, edited and asked about.
 */
import { appendFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../support/banyan.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const upstream = await scriptedUpstream((asked) => asked.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
afterAll(() => upstream.stop())

const agent = new Agent({ keepAlive: true })
afterAll(() => agent.destroy())

interface Reply {
  readonly status: number
  readonly text: string
}

function ask(port: number, method: string, path: string, type = '', body = ''): Promise<Reply> {
  const headers = body === '' ? {} : { 'Content-Type': type, 'Content-Length': String(Buffer.byteLength(body)) }
  return new Promise((done, fail) => {
    const req = request({ host: '127.0.0.1', port, method, path, headers, agent }, (res) => {
      const pieces: Buffer[] = []
      res.on('data', (piece: Buffer) => pieces.push(piece))
      res.on('error', fail)
      res.on('end', () => done({ status: res.statusCode as number, text: Buffer.concat(pieces).toString() }))
    })
    req.on('error', fail)
    req.end(body)
  })
}

function routes(count: number): string {
  const line = (n: number) =>
    `  - { id: r${n}, match: { path: /p${n}/:x }, to: new, percent: 0, sticky: [cookie:sid, ip] }\n`
  return `routes:\n${Array.from({ length: count }, (_, n) => line(n)).join('')}`
}

/** Two sides, which are one server. */
function sides(): string {
  const server = `servers: [http://127.0.0.1:${upstream.port}]`
  return tableFor(upstream.port).replace('default:', `  new: { ${server} }\ndefault:`)
}

/** More than come through while the pieces of a body arrive. */
const MANY = 20

test.each([['0'], ['2']])('with --workers %s', async (workers) => {
  const table = sides()
  const banyan = await startBanyan({ table, args: ['--workers', workers] })
  onTestFinished(async () => void (await banyan.stop()))
  const admin = banyan.adminPort as number

  /** Does the work, and counts the requests of clients, one after the other, that are answered before it is over. */
  async function whileServing<T>(work: Promise<T>): Promise<T> {
    let [over, answered] = [false, 0]
    const watched = work.finally(() => {
      over = true
    })
    while (!over) {
      expect(await ask(banyan.port, 'GET', '/p1/x')).toEqual({ status: 200, text: 'ok' })
      if (!over) answered++
    }
    expect(answered).toBeGreaterThan(MANY)
    return await watched
  }

  const put = await whileServing(ask(admin, 'PUT', '/routes.yaml', 'application/yaml', table + routes(1000)))
  expect(put.status, put.text.slice(0, 1000)).toBe(200)
  expect(JSON.parse(put.text).changes).toHaveLength(1000)
  // Needs no parse: it is over before many are answered.
  const patch = await ask(admin, 'PATCH', '/routes/r5', 'application/json', '{"percent": 50}')
  expect(JSON.parse(patch.text)).toMatchObject({ revision: 3, percent: 50 })
  const wrong = table + routes(3000).replaceAll('to: new', 'to: nwe')
  const refused = await whileServing(ask(admin, 'PUT', '/routes.yaml?dryRun=true', 'application/yaml', wrong))
  expect([refused.status, JSON.parse(refused.text).more]).toEqual([422, 2900])
  const revision = await ask(admin, 'GET', '/revisions/2')
  expect(JSON.parse(revision.text).changes).toHaveLength(1000)
  appendFileSync(banyan.tableFile, '# edited\n')
  await inForce(4)

  async function inForce(number: number): Promise<void> {
    while (JSON.parse((await ask(admin, 'GET', '/readyz')).text).table.revision !== number) {
      await new Promise((turn) => setTimeout(turn, 20))
    }
  }
})

test('a change of a percent waits for no parse of another text', async () => {
  const table = sides() + routes(1000)
  const banyan = await startBanyan({ table })
  onTestFinished(async () => void (await banyan.stop()))
  const admin = banyan.adminPort as number
  const order: string[] = []
  const dryRun = ask(admin, 'PUT', '/routes.yaml?dryRun=true', 'application/yaml', `${table}# more\n`)
  // Its text has arrived by now.
  await ask(admin, 'GET', '/livez')
  const patch = ask(admin, 'PATCH', '/routes/r5', 'application/json', '{"percent": 50}')
  await Promise.all([dryRun.then(() => order.push('dry run')), patch.then(() => order.push('percent'))])
  expect(order).toEqual(['percent', 'dry run'])
})
