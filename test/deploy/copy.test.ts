/**
 * gtin-service/README.md, "To copy this": what it says to take is enough for a service that compiles, is tested and runs by itself.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PROJECT, textOf } from './project.ts'

const page = textOf('gtin-service/README.md')
let folder: string
let copy: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-copy-'))
  const project = join(folder, 'project')
  mkdirSync(project)
  for (const name of ['gtin-service', 'test', 'deploy', 'Dockerfile', 'vitest.config.ts', 'tsconfig.json'])
    cpSync(join(PROJECT, name), join(project, name), { recursive: true })
  cpSync(join(PROJECT, 'tsconfig.build.json'), join(project, 'tsconfig.build.json'))
  const [, commands] = /^## To copy this\n[\s\S]*?^```sh\n([\s\S]*?)^```/m.exec(page) as unknown as [string, string]
  execFileSync('bash', ['-ec', commands], { cwd: project })
  copy = join(folder, 'new-service')
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the packages that the page installs are all that the copy imports', () => {
  const install = /^npm install --save-dev --save-exact (.*)$/m.exec(page)?.[1] as string
  const installed = install.split(' ').map((one) => one.replace(/(?<=.)@.*$/, ''))
  const files = readdirSync(copy, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  const named = files.flatMap((file) =>
    [...readFileSync(join(copy, file), 'utf8').matchAll(/^(?:import|\} from) .*?'([a-z@][\w@/-]*)(?<!node)'/gm)].map(
      ([, name]) => (name as string).replace(/^(@[^/]+\/[^/]+|[^/]+).*/, '$1'),
    ),
  )
  expect([...new Set(named)].filter((name) => !name.startsWith('node:') && !installed.includes(name))).toEqual([])
  const versions = JSON.parse(textOf('package.json')).devDependencies
  for (const one of install.split(' ')) {
    const [, name = '', major] = /^(.+)@(\d+)$/.exec(one) as RegExpExecArray
    expect(versions[name], name).toMatch(new RegExp(`^${major}\\.`))
  }
})

test('it compiles, is built as in its Dockerfile, and its tests and its process run', { timeout: 300_000 }, () => {
  writeFileSync(join(copy, 'package.json'), '{ "name": "new-service", "type": "module" }\n')
  symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'))
  const run = (program: string, ...args: string[]): string =>
    execFileSync(join(copy, 'node_modules/.bin', program), args, { cwd: copy, encoding: 'utf8' })
  const build = /^RUN npx tsc (--project gtin-service\S* .*)$/m.exec(
    readFileSync(join(copy, 'Dockerfile'), 'utf8'),
  )?.[1]
  run('tsc')
  run('tsc', ...(build as string).split(' '))
  expect(run('node', 'gtin/gtin-service/main.js', '--help')).toContain('--listen HOST:PORT')
  expect(run('vitest', 'run', 'test/gtin-service/gtin.test.ts', 'test/gtin-service/contract.test.ts')).toContain(
    'passed',
  )
})
