/**
 * The command line as its users meet it: real processes, exit codes, and what they say when something is wrong.
 */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../support/banyan.ts'
import { selfSigned } from '../support/certificates.ts'
import { rawClient } from '../support/client.ts'
import { environment } from '../support/process.ts'

const ROOT = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'banyan-command-line-'))
const good = join(folder, 'good.yaml')
const bad = join(folder, 'bad.yaml')

beforeAll(() => {
  writeFileSync(good, tableFor(1))
  writeFileSync(bad, tableFor(1).replace('default: main', 'default: mian\nroute: []'))
})

afterAll(() => rmSync(folder, { recursive: true }))

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function banyan(args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['bin/banyan.js', ...args],
      { cwd: ROOT, env: environment() },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
      },
    )
  })
}

/** What a program in a checkout prints at its second start, with what an expression gives at its end behind it. */
function secondStart(program: string, expression: string): string {
  const env = environment()
  // The program enables the cache, and not who starts it.
  delete env.NODE_COMPILE_CACHE
  const args = [
    '--import',
    `data:text/javascript,process.on('exit',()=>console.log(${expression}))`,
    program,
    '--version',
  ]
  const start = () => execFileSync(process.execPath, args, { cwd: ROOT, env, encoding: 'utf8' })
  start()
  return start()
}

test('a checkout strips no types of a program that was started before, and loads no parser for them', () => {
  const parsers = 'process.moduleLoadList.filter((one)=>/amaro/.test(one)).length'
  expect(secondStart('bin/banyan.js', parsers)).toMatch(/^banyan .*\n0\n$/)
})

test('src/main.ts keeps what was compiled, too', () => {
  const folder = "process.getBuiltinModule('module').getCompileCacheDir()"
  expect(secondStart('src/main.ts', folder)).toContain('/node_modules/.cache/compile')
})

const free = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']

describe('check', () => {
  test('a good table is said to be good', async () => {
    expect(await banyan(['check', good])).toEqual({
      code: 0,
      stdout: `${good}: ok, 0 routes, 1 upstream\n`,
      stderr: '',
    })
  })

  test('the example of the repository is good', async () => {
    expect(await banyan(['check', 'routes.yaml'])).toMatchObject({ code: 0, stderr: '' })
  })

  test('a bad one: every error with its place and a hint, exit 1', async () => {
    const { code, stderr } = await banyan(['check', bad])
    expect(code).toBe(1)
    expect(stderr).toContain(`${bad}:5:10: default: `)
    expect(stderr).toContain('did you mean `main`?')
    expect(stderr).toContain(`${bad}:6:1: route: unknown key (did you mean \`routes\`?)`)
  })

  test('--json for machines', async () => {
    const { code, stdout } = await banyan(['check', bad, '--json'])
    expect(code).toBe(1)
    const said = JSON.parse(stdout)
    expect(said.ok).toBe(false)
    expect(said.problems[0]).toMatchObject({ line: 5, column: 10, pointer: '/default' })
  })

  test('a file that is not there is one line, exit 1', async () => {
    const { code, stderr } = await banyan(['check', join(folder, 'none.yaml')])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^banyan: .*none\.yaml.*\n$/)
  })
})

describe('serve', () => {
  test.each([
    ['an unknown flag', ['--bogus'], 2, /^banyan: .*--bogus.*\n$/],
    ['an invalid address', ['--listen', 'x'], 2, /^banyan: --listen: invalid address 'x': expected HOST:PORT.*\n$/],
    [
      'a table that is not there',
      [...free, '--table', join(folder, 'none.yaml')],
      1,
      /^banyan: can't read the table .*no such file\n$/,
    ],
    [
      'an admin API for everybody',
      ['--listen', '127.0.0.1:0', '--admin', '0.0.0.0:0', '--table', good],
      1,
      /^banyan: .*--admin-token.*\n$/,
    ],
    ['a trusted proxy that is none', [...free, '--table', good, '--trusted-proxies', 'x'], 1, /^banyan: .*'x'.*\n$/],
    [
      'middleware that is not there',
      [...free, '--table', good, '--middleware', join(folder, 'none.js')],
      1,
      /^banyan: --middleware .*\n$/,
    ],
    [
      'an access log that can not be written',
      [...free, '--table', good, '--access-log', join(folder, 'no/such/log')],
      1,
      /^banyan: --access-log .*\n$/,
    ],
  ] as const)('%s: one line and no start', async (_, args, code, says) => {
    const ended = await banyan(['serve', ...args])
    expect(ended).toMatchObject({ code, stdout: '' })
    expect(ended.stderr).toMatch(says)
  })

  test('an invalid table: every error, exit 1', async () => {
    const { code, stderr } = await banyan(['serve', ...free, '--table', bad])
    expect(code).toBe(1)
    expect(stderr).toContain(`${bad}:5:10: `)
    expect(stderr).toContain(`${bad}:6:1: `)
  })

  test.each(['--listen', '--admin'])('a port that is in use for %s: one line, exit 1', async (flag) => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as AddressInfo
    const { code, stderr } = await banyan(['serve', '--table', good, ...free, flag, `127.0.0.1:${port}`])
    other.close()
    expect(code).toBe(1)
    expect(stderr).toBe(`banyan: ${flag} 127.0.0.1:${port}: address already in use\n`)
  })

  test.each(['0', '2'])('with %s workers, of two places the one that is in use is named', async (workers) => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const place = `127.0.0.1:${(other.address() as AddressInfo).port}`
    const { cert, key } = selfSigned('one', 'DNS:one.test')
    const file = join(folder, 'one.pem')
    writeFileSync(file, cert + key)
    const tls = ['--tls', place, '--tls-cert', file, '--workers', workers]
    const { code, stderr } = await banyan(['serve', '--table', good, ...free, ...tls])
    other.close()
    expect(code).toBe(1)
    expect(stderr).toBe(`banyan: --tls ${place}: address already in use\n`)
  })

  test('the ready line says where clients, admin API and table are', async () => {
    const running = await startBanyan({ table: tableFor(1) })
    expect(running.program.log[0]).toMatch(
      /^banyan ready http:\/\/127\.0\.0\.1:\d+ admin http:\/\/127\.0\.0\.1:\d+ table \S+ revision 1 routes 0$/,
    )
    expect(await running.stop()).toBe(0)
  })

  test('an access log of its own: one JSON line per exchange', async () => {
    const file = join(folder, 'access.log')
    const running = await startBanyan({ table: tableFor(1), args: ['--access-log', file] })
    expect((await fetch(`http://127.0.0.1:${running.port}/a?b`)).status).toBe(502)
    expect(await running.stop()).toBe(0)
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      method: 'GET',
      target: '/a?b',
      status: 502,
      upstream: 'main',
      server: '127.0.0.1:1',
      reason: 'default',
      failure: 'connect',
    })
  })
})

test('what is refused before it becomes an exchange is logged too', async () => {
  const running = await startBanyan({ table: tableFor(1), args: ['--access-log', 'json'] })
  const client = await rawClient(running.port)
  expect((await client.ask('GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')).status).toBe(400)
  const other = await rawClient(running.port)
  expect((await other.ask('no HTTP at all\r\n\r\n', 'GET')).status).toBe(400)
  const parsed = JSON.parse(await running.program.line((line) => line.includes('"target":"/x"')))
  expect(parsed).toMatchObject({ method: 'GET', client: '127.0.0.1', status: 400, failure: 'bad-request' })
  const garbage = JSON.parse(await running.program.line((line) => line.includes('"target":null')))
  expect(garbage).toMatchObject({ method: null, status: 400, failure: 'bad-request' })
  expect(await running.stop()).toBe(0)
})

describe('the rest', () => {
  test('--help, --version, and what is no command', async () => {
    expect(await banyan(['--help'])).toMatchObject({ code: 0, stderr: '' })
    expect((await banyan(['serve', '--help'])).stdout).toContain('--listen HOST:PORT')
    expect((await banyan(['--version'])).stdout).toMatch(/^banyan \d+\.\d+\.\d+ \(node \d+/)
    expect(await banyan([])).toMatchObject({ code: 2 })
    expect(await banyan(['serv'])).toMatchObject({
      code: 2,
      stderr: "banyan: unknown command 'serv' (did you mean `serve`?)\n",
    })
    expect(await banyan(['history'])).toMatchObject({
      code: 2,
      stderr: "banyan: unknown command 'history' (did you mean `revisions`?)\n",
    })
  })
})
