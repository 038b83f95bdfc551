/**
 * The Makefile: each target says the commands it promises, with what stands in the project.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PROJECT, textOf } from './project.ts'

/** What `make` would run, or did; its own variables from a surrounding make are not for it. */
function make(...args: string[]): { status: number | null; out: string; err: string } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(MAKE|MFLAGS)/.test(name)))
  const done = spawnSync('make', args, { cwd: PROJECT, env, encoding: 'utf8' })
  if (done.error !== undefined) throw done.error
  return { status: done.status, out: done.stdout, err: done.stderr }
}

const would = (...args: string[]): string => make('--dry-run', '--always-make', ...args).out

test('make, make run and make test install, start and test', () => {
  expect(would()).toBe('npm ci\n')
  expect(would('run')).toBe('npm ci\nnpm start\n')
  expect(would('test')).toBe('npm ci\nnpm test\n')
})

test('every npm script that it runs is there', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
  const run = [...textOf('Makefile').matchAll(/^\tnpm (?:run )?([a-z-]+)/gm)].map(([, name]) => name as string)
  expect(run.filter((name) => name !== 'ci' && scripts[name] === undefined)).toEqual([])
})

test('make image builds the three images with version, commit and time', () => {
  const said = would('image', 'BUILDER=builder')
  for (const image of ['banyan', 'gtin-service', 'legacy-mock']) {
    expect(said.replaceAll(/ {2,}/g, ' ')).toContain(
      `builder build --target ${image} --tag ${image}:${JSON.parse(textOf('package.json')).version} `,
    )
  }
  expect(said).toMatch(/--build-arg REVISION=\S+ --build-arg CREATED=\d{4}-\d\d-\d\dT\S+Z \./)
})

test.each(['podman', 'buildah'])('make image keeps the health checks where %s builds', (builder) => {
  expect(would('image', `BUILDER=/usr/bin/${builder}`).match(/build --format docker --target/g)).toHaveLength(3)
})

test('make deploy applies the images that make release has pushed', () => {
  const registry = 'REGISTRY=registry.test/team/'
  const [, rule] = /sed -E '([^']+)'/.exec(would('deploy', 'COLOR=blue', registry)) ?? []
  const text = 'image: banyan:0\nimage: gtin-service:0\n'
  const { stdout } = spawnSync('sed', ['-E', rule as string], { input: text, encoding: 'utf8' })
  const pushed = would('release', 'BUILDER=builder', registry).match(/(?<=push )\S+/g) ?? []
  const applied = [...stdout.matchAll(/image: (\S+)/g)].map(([, name]) => name)
  expect(applied).toHaveLength(2)
  for (const name of applied) expect(pushed).toContain(name)
})

test('make release checks first, and pushes last', () => {
  const said = would('release', 'BUILDER=builder', 'REGISTRY=registry.test/team/')
  const order = ['npm run check', 'builder build --target banyan', 'builder push registry.test/team/banyan:']
  const places = order.map((what) => said.indexOf(what))
  expect(places).not.toContain(-1)
  expect(places).toEqual(places.toSorted((a, b) => a - b))
})

test.each(['blue', 'green'])('make deploy and make switch COLOR=%s name what that stack has', (color) => {
  const deploy = would('deploy', `COLOR=${color}`)
  const folder = /kubectl kustomize (\S+)/.exec(deploy)?.[1] as string
  expect(existsSync(join(PROJECT, folder, 'kustomization.yaml'))).toBe(true)
  expect(deploy).toContain(`deployment/banyan-${color} `)
  expect(would('switch', `COLOR=${color}`)).toContain(`{"spec": {"selector": {"banyan/color": "${color}"}}}`)
})

test.each([
  ['deploy', 'make: say COLOR=blue or COLOR=green'],
  ['switch', 'make: say COLOR=blue or COLOR=green'],
  ['release', 'make: say REGISTRY='],
])('make %s without what it needs does nothing and says what', (target, said) => {
  const { status, out, err } = make('--silent', target)
  expect([status, out]).toEqual([2, ''])
  expect(err).toContain(said)
})

test('make image says so where there is no builder', () => {
  expect(make('--silent', 'image', 'BUILDER=').err).toContain('no docker, podman or buildah here')
})
