/**
 * The npm package: packed, installed in an empty folder, started, asked and stopped there; its types hold for who uses them.
 */
import { spawn, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { routesJsonSchema } from '../../src/rules/table/schema.ts'
import { tableFor } from '../support/banyan.ts'
import { gtinData } from '../support/gtin-data.ts'
import { Program, pretending } from '../support/process.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'
import { type Done, environment, install, type Packed, pack, runIn } from './package.ts'
import { PROJECT, textOf } from './project.ts'

const manifest = JSON.parse(textOf('package.json'))

let folder: string
let shop: string
let packed: Packed
let upstream: ScriptedUpstream
const running: Program[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-package-'))
  shop = join(folder, 'shop')
  packed = pack(folder)
  install(packed, shop)
  upstream = await scriptedUpstream((request) => request.send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlegacy'))
  writeFileSync(join(shop, 'routes.yaml'), tableFor(upstream.port))
})

afterAll(async () => {
  await Promise.all(running.map((program) => program.stop()))
  rmSync(folder, { recursive: true, force: true })
})

/** Starts a program in the folder where the package is installed, in a process group of its own, as a shell does. */
function start(program: string, ...args: string[]): Program {
  const env = environment()
  const child = spawn(program, args, { cwd: shop, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const started = new Program(child)
  running.push(started)
  return started
}

/** What Ctrl-C does: a signal to all of a group, npx and what it runs. */
const interrupt = ({ pid }: Program): boolean => process.kill(-pid, 'SIGINT')

const FREE_PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']

test('it holds what was built, with its types, and no file that only development needs', () => {
  const others = packed.files.filter(
    (path) => !/^(bin\/[\w-]+\.js|dist\/[\w/-]+\.js|deploy\/.+|docs\/[\w/-]+\.md)$/.test(path),
  )
  const types = ['dist/embedding.d.ts', 'dist/index.d.ts', 'dist/start-error.d.ts']
  const files = ['CHANGELOG.md', 'Dockerfile', 'LICENSE', 'README.md', 'gtin-service/README.md', 'package.json']
  const page = ['dist/page/icon.svg', 'dist/page/index.html', 'dist/page/page.css']
  const picture = 'docs/page.png'
  const rest = ['routes.yaml', 'dist/routes.schema.json', picture]
  expect(others.toSorted()).toEqual([...files, ...rest, ...page, ...types].toSorted())
  const schema = readFileSync(join(shop, 'node_modules/banyan/dist/routes.schema.json'), 'utf8')
  expect(JSON.parse(schema)).toEqual(routesJsonSchema())
  for (const path of Object.values(manifest.exports['.']) as string[]) expect(packed.files).toContain(path.slice(2))
  for (const path of Object.values(manifest.bin) as string[]) expect(packed.files).toContain(path)
})

test('every link of its pages leads to a file of it', () => {
  const dead = packed.files
    .filter((path) => path.endsWith('.md'))
    .flatMap((path) => {
      const text = readFileSync(join(shop, 'node_modules/banyan', path), 'utf8')
      const links = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link]) => link as string)
      const local = links.filter((link) => !/^[a-z]+:/.test(link)).map((link) => posix.join(posix.dirname(path), link))
      const lies = (link: string) =>
        packed.files.some((file) => file === link || file.startsWith(link.replace(/\/?$/, '/')))
      return local.filter((link) => !lies(link)).map((link) => `${path}: ${link}`)
    })
  expect(dead).toEqual([])
})

test('npx banyan serve: it starts, answers, is asked by its own commands, and Ctrl-C ends it', async () => {
  const banyan = start('npx', 'banyan', 'serve', ...FREE_PORTS)
  const line = await banyan.line((one) => one.startsWith('banyan ready'))
  const [at, admin] = line.match(/http:\/\/[\d.:]+/g) as [string, string]
  expect(await (await fetch(`${at}/any`)).text()).toBe('legacy')
  const asked = ['banyan', 'servers', '--json', '--admin', new URL(admin).host]
  const { status, out, err } = runIn(shop, 'npx', asked)
  expect([status, err]).toEqual([0, ''])
  expect(out).toContain(`http://127.0.0.1:${upstream.port}`)
  interrupt(banyan)
  await banyan.line((one) => one.includes('"event":"ended"'))
  await banyan.stop()
  expect(banyan.stderr).toBe('')
})

test('its programs drain on SIGTERM, the GTIN service too', async () => {
  const banyan = start('node_modules/.bin/banyan', 'serve', ...FREE_PORTS)
  await banyan.line((one) => one.startsWith('banyan ready'))
  const { folder: data, remove } = gtinData()
  onTestFinished(remove)
  const options = ['--listen', '127.0.0.1:0', '--name', 'gtin-1', '--data', data, '--drain-delay', '0ms']
  const gtin = start('node_modules/.bin/banyan-gtin', ...options)
  const line = await gtin.line((one) => one.startsWith('gtin-service ready'))
  const answer = await fetch(`${/http:\/\/[\d.:]+/.exec(line)?.[0]}/stores/3/gtins/123456789012`)
  expect(await answer.json()).toMatchObject({ host: 'gtin-1', gtin: '123456789012' })
  expect([await banyan.stop(), await gtin.stop()]).toEqual([0, 0])
  expect([banyan.stderr, gtin.stderr]).toEqual(['', ''])
})

test('--version and --help tell of the package', () => {
  expect(runIn(shop, 'npx', ['banyan', '--version']).out).toBe(
    `banyan ${manifest.version} (node ${process.versions.node})\n`,
  )
  expect(runIn(shop, 'npx', ['banyan', '--help'])).toMatchObject({ status: 0, err: '' })
})

test.each([
  ['20.20.2', 'package'],
  ['22.12.0', 'package'],
  ['22.17.1', 'checkout'],
])('Node %s is too old for the %s, which says so in one line', (version, where) => {
  const bin = where === 'package' ? join(shop, 'node_modules/banyan/bin/banyan.js') : join(PROJECT, 'bin/banyan.js')
  const { status, out, err } = runIn(shop, process.execPath, [...pretending(version), bin, '--version'])
  expect([status, out]).toEqual([1, ''])
  expect(err).toMatch(
    where === 'package'
      ? `banyan: Node ${version} is too old: banyan ${manifest.version} needs Node >= 22.13.\n`
      : /^banyan: Node 22\.17\.1 can't run the TypeScript sources\. .*Node >= 22\.18\.\n$/,
  )
})

test('in a checkout the Node of npm ci runs it where the one that it was started by is too old', async () => {
  const old = join(folder, 'node')
  try {
    linkSync(process.execPath, old)
  } catch {
    // Another file system.
    copyFileSync(process.execPath, old)
  }
  const bin = join(PROJECT, 'bin/banyan.js')
  const { status, out } = runIn(shop, old, [...pretending('20.20.2'), bin, 'check', 'routes.yaml'])
  expect([status, out]).toEqual([0, 'routes.yaml: ok, 0 routes, 1 upstream\n'])
  expect(runIn(shop, old, [...pretending('20.20.2'), bin, 'check', 'none.yaml'])).toMatchObject({ status: 1, out: '' })
  const banyan = start(old, ...pretending('20.20.2'), bin, 'serve', ...FREE_PORTS)
  const line = await banyan.line((one) => one.startsWith('banyan ready'))
  expect(await (await fetch(`${/http:\/\/[\d.:]+/.exec(line)?.[0]}/any`)).text()).toBe('legacy')
  expect(await banyan.stop()).toBe(0)
  expect(banyan.log.at(-1)).toContain('"event":"ended"')
})

test('npm ci in a checkout warns of no engine on Node 20, since it brings the Node that runs the rest', () => {
  const checkout = join(folder, 'checkout')
  mkdirSync(checkout)
  for (const name of ['package.json', 'package-lock.json', '.npmrc'])
    copyFileSync(join(PROJECT, name), join(checkout, name))
  const old = `data:text/javascript,Object.defineProperty(process,'version',{value:'v20.20.2'})`
  // npm tells those below it what its own .npmrc says.
  const { npm_config_loglevel: _, ...rest } = environment()
  const env = { ...rest, NODE_OPTIONS: `--import "${old}"` }
  const args = ['ci', '--dry-run', '--offline', '--ignore-scripts']
  const ci = () => spawnSync('npm', args, { cwd: checkout, env, encoding: 'utf8' })
  expect(ci()).toMatchObject({ status: 0, stderr: '' })
  // What is hushed is there.
  rmSync(join(checkout, '.npmrc'))
  expect(ci().stderr).toContain('EBADENGINE')
  // A checkout asks for less than the package, and for no less than it needs.
  expect(manifest.devEngines.runtime).toEqual({ name: 'node', version: '>=20' })
})

test('the oldest Node that it names is let in', () => {
  const oldest = `${manifest.engines.node.slice(2)}.0`
  const bin = join(shop, 'node_modules/banyan/bin/banyan.js')
  expect(runIn(shop, process.execPath, [...pretending(oldest), bin, '--version'])).toMatchObject({ status: 0, err: '' })
})

test('strangle() of the package is a middleware of somebody else’s Koa application', async () => {
  writeFileSync(
    join(shop, 'app.js'),
    `import Koa from 'koa'
import { strangle } from 'banyan'
const proxy = strangle({ table: 'routes.yaml' })
const app = new Koa().use(async (ctx, next) => { ctx.set('X-Shop', 'yes'); await next() }).use(proxy)
const server = app.listen(0, '127.0.0.1', () => console.log('ready', server.address().port))
process.once('SIGTERM', () => { server.close(); server.closeAllConnections(); void proxy.close() })
`,
  )
  const app = start(process.execPath, 'app.js')
  const port = (await app.line((line) => line.startsWith('ready'))).slice('ready '.length)
  const answer = await fetch(`http://127.0.0.1:${port}/any`)
  expect([await answer.text(), answer.headers.get('x-shop')]).toEqual(['legacy', 'yes'])
  expect(await app.stop()).toBe(0)
})

/** Checks a program of the shop with the strictest types, the package's declarations included. */
function typesOf(text: string): Done {
  writeFileSync(join(shop, 'app.ts'), text)
  const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false', '--types', 'node']
  const target = ['--target', 'es2024', '--module', 'nodenext', 'app.ts']
  return runIn(shop, process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc'), ...options, ...target])
}

const USES_STRANGLE = `import { createServer } from 'node:http'
import { type ControlLog, type StrangleMiddleware, type StrangleOptions, StartError, strangle } from 'banyan'
const log: ControlLog = { info() {}, warn() {}, error(_, message: string) { console.error(message) } }
const options: StrangleOptions = { table: 'routes.yaml', redis: 'redis://127.0.0.1', log, accessLog: (line) => console.log(line) }
const proxy: StrangleMiddleware = strangle(options)
createServer().on('upgrade', proxy.upgrade)
const closed: Promise<void> = proxy.close()
export { closed, StartError }
`

test('its types hold for a program that has no types of Koa, and for one that has', () => {
  const types = join(shop, 'node_modules/@types')
  mkdirSync(types)
  symlinkSync(join(PROJECT, 'node_modules/@types/node'), join(types, 'node'))
  expect(typesOf(USES_STRANGLE)).toEqual({ status: 0, out: '', err: '' })
  rmSync(types, { recursive: true })
  symlinkSync(join(PROJECT, 'node_modules/@types'), types)
  const mounted = "import Koa from 'koa'\nimport { strangle } from 'banyan'\nnew Koa().use(strangle({ table: 'a' }))\n"
  expect(typesOf(mounted)).toEqual({ status: 0, out: '', err: '' })
})

test('its types are plain and complete in themselves: they lead to no other file, and to no package but Node’s', () => {
  const declarations = packed.files
    .filter((path) => path.endsWith('.d.ts'))
    .map((path) => join(shop, 'node_modules/banyan', path))
  const imported = declarations.flatMap((path) =>
    [...readFileSync(path, 'utf8').matchAll(/(?:from |import\()'([^']+)'/g)].map(([, name]) => name as string),
  )
  expect([...new Set(imported)].toSorted()).toEqual(['./embedding.ts', './start-error.ts', 'node:http', 'node:stream'])
})

test('its types refuse what it does not take', () => {
  const { status, out } = typesOf("import { strangle } from 'banyan'\nstrangle({ tabel: 'routes.yaml' })\n")
  expect(status).not.toBe(0)
  expect(out).toContain('tabel')
})

test('what it needs at run time is what its manifest asks for', () => {
  const imported = packed.files
    .filter((path) => path.endsWith('.js'))
    .flatMap((path) => [
      ...readFileSync(join(shop, 'node_modules/banyan', path), 'utf8').matchAll(
        /\b(?:from |import\(|createRequire\(import\.meta\.url\)\()'([^'.][^']*)'/g,
      ),
    ])
    .map(([, name]) => name as string)
    .filter((name) => !name.startsWith('node:'))
    .map((name) => /^(@[^/]+\/)?[^/]+/.exec(name)?.[0])
  expect([...new Set(imported)].toSorted()).toEqual(Object.keys(manifest.dependencies).toSorted())
})
