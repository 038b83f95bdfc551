/**
 * deploy/compose.yaml: by the schema of the Compose specification, and its names, ports and times against each other.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Ajv } from 'ajv'
import { expect, test } from 'vitest'
import { readCommandLine } from '../../gtin-service/settings.ts'
import { readSyncCommandLine } from '../../gtin-service/sync/main.ts'
import { readTokens } from '../../src/control/access/tokens.ts'
import { readTable } from '../../src/rules/language/text.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { readDockerfile } from './dockerfile.ts'
import { durationMs, PROJECT, textOf, yamlOf } from './project.ts'

interface Service {
  readonly build?: { readonly context: string; readonly target: string }
  readonly image?: string
  readonly entrypoint?: readonly string[]
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly tmpfs?: readonly string[]
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly ports?: readonly string[]
  readonly networks?: { readonly default: { readonly aliases: readonly string[] } }
  readonly security_opt: readonly string[]
  readonly user?: string
  readonly volumes?: readonly string[]
  readonly read_only: boolean
  readonly cap_drop: readonly string[]
  readonly stop_grace_period: string
  readonly deploy: { readonly resources: { readonly limits: { readonly cpus: string; readonly memory: string } } }
}

const compose = yamlOf('deploy/compose.yaml') as { readonly services: Readonly<Record<string, Service>> }
const services = Object.entries(compose.services)
const built = (target: string) => services.filter(([, service]) => service.build?.target === target)
const stages = readDockerfile(PROJECT).stages

/** The ports that a target of the Dockerfile says it listens on. */
function portsOf(target: string): number[] {
  const steps = stages.find((stage) => stage.name === target)?.steps ?? []
  return steps.filter((step) => step.keyword === 'EXPOSE').flatMap((step) => step.words.map(Number))
}

/** What whoever starts it has to set. */
const SECRETS = { BANYAN_ADMIN_TOKEN: 'the-admin-token-of-the-test', BANYAN_READ_TOKEN: 'the-read-token-of-the-test' }

/** An environment as Compose gives it, the variables of the shell put in. */
function given(environment: Service['environment']): Record<string, string> {
  const put = (text: string): string =>
    text
      .replaceAll(/\$\{(\w+):\?[^}]*\}/g, (_, name: keyof typeof SECRETS) => SECRETS[name])
      .replaceAll(/\$\{\w+:-([^}]*)\}/g, (_, fallback: string) => fallback)
  return Object.fromEntries(Object.entries(environment ?? {}).map(([name, text]) => [name, put(text)]))
}

interface Scrape {
  readonly authorization?: { readonly credentials_file: string }
  readonly dns_sd_configs?: readonly { readonly names: readonly string[]; readonly port: number }[]
  readonly static_configs?: readonly { readonly targets: readonly string[] }[]
}

/** What follows a flag in a command. */
const flag = (command: readonly string[] | undefined, name: string): string | undefined =>
  command?.[command.indexOf(name) + 1]

test('it is what the Compose specification allows', () => {
  // schema/compose-spec.json of github.com/compose-spec/compose-spec at 170098b; it names draft-07 by https.
  const { $schema: _, ...schema } = JSON.parse(textOf('test/deploy/compose-spec.json'))
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema)
  validate(compose)
  expect(validate.errors ?? []).toEqual([])
})

/** What a service waits for until it is healthy. */
const waitsFor = (service: Service): string[] => {
  const needs = Object.entries(service.depends_on ?? {})
  const healthy = needs.filter(([, { condition }]) => condition === 'service_healthy')
  // Whether there is data yet is nothing that anybody waits for: the legacy answers until there is.
  for (const [name, { condition }] of needs)
    expect(condition === 'service_healthy' || /^gtin-\d$/.test(name)).toBe(true)
  return healthy.map(([name]) => name).toSorted()
}
const named = (name: string): Service => compose.services[name] ?? expect.fail(`no service ${name}`)

test('one legacy, three GTIN services, two proxies of one name, and what stores and shows', () => {
  expect([built('legacy-mock').length, built('gtin-service').length, built('banyan').length]).toEqual([1, 4, 2])
  for (const [, service] of built('banyan')) expect(service.networks?.default.aliases).toEqual(['banyan'])
  const others = services.filter(([, service]) => service.build === undefined).map(([name]) => name)
  expect(others.toSorted()).toEqual(['cluster-redis', 'grafana', 'prometheus', 'redis'])
})

test.each(services)('%s is contained and bounded, and says whether it is healthy', (name, service) => {
  expect([service.read_only, service.cap_drop, service.security_opt]).toEqual([
    true,
    ['ALL'],
    ['no-new-privileges:true'],
  ])
  expect(service.deploy.resources.limits).toEqual({ cpus: expect.any(String), memory: expect.stringMatching(/M$/) })
  if (service.build === undefined) {
    expect(service.healthcheck?.test[0]).toBe('CMD')
    // One that can be pinned by digest from outside.
    const program = name.replace('cluster-', '')
    expect(service.image).toMatch(new RegExp(`^\\$\\{${program.toUpperCase()}_IMAGE:-[a-z/]+:v?\\d[\\w.-]*\\}$`))
    return
  }
  const stage = stages.find((one) => one.name === service.build?.target)
  expect(stage?.steps.some((step) => step.keyword === 'HEALTHCHECK')).toBe(true)
  expect(service.build.context).toBe('..')
})

test('each starts when everything that it needs is healthy, and not before', () => {
  const behind = built('legacy-mock').map(([name]) => name)
  const proxies = built('banyan').map(([name]) => name)
  for (const name of proxies) expect(waitsFor(named(name))).toEqual([...behind, 'cluster-redis', 'redis'].toSorted())
  expect(waitsFor(named('prometheus'))).toEqual(proxies.toSorted())
  expect(waitsFor(named('grafana'))).toEqual(['prometheus'])
  expect(waitsFor(named('gtin-sync'))).toEqual(behind)
})

test('its table is valid, and each server of it is a service at the port where that listens', () => {
  const read = readTable(textOf('deploy/compose/routes.yaml'), 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  expect(read.warnings).toEqual([])
  const servers = [...read.table.upstreams.values()].flatMap((upstream) => upstream.servers)
  for (const { hostname, port } of servers) expect(portsOf(named(hostname).build?.target as string)).toEqual([port])
  const behind = [...built('legacy-mock'), ...gtins()].map(([name]) => name)
  expect(servers.map((server) => server.hostname).toSorted()).toEqual(behind.toSorted())
})

/** Those that serve; the sync is of the same image. */
const gtins = () => built('gtin-service').filter(([name]) => name !== 'gtin-sync')

test('a sync brings the data to the volume that every GTIN service reads, and each has room for it', () => {
  const { command, volumes, deploy } = named('gtin-sync')
  const asked = readSyncCommandLine((command ?? []).slice(1).map((word) => word.replace(/^\$\{\w+:-(.*)\}$/, '$1')))
  const { from, folder: data, everyMs } = asked
  expect([command?.[0], from.hostname, everyMs]).toEqual(['sync', 'legacy', 86_400_000])
  expect(Number.parseInt(deploy.resources.limits.memory, 10)).toBeGreaterThanOrEqual(1_024)
  for (const [, service] of [['gtin-sync', named('gtin-sync')] as const, ...gtins()]) {
    expect(service.volumes).toEqual([`gtin:${data}`])
  }
  expect(volumes).toEqual(['gtin:/var/lib/gtin'])
  for (const [, service] of gtins()) {
    const served = readCommandLine(service.command ?? [])
    expect(served).toMatchObject({ data, staleAfterMs: expect.any(Number) })
  }
})

test('its GTIN services bear their own names, and listen where the image says', () => {
  for (const [name, { command }] of gtins()) {
    expect(flag(command, '--name')).toBe(name)
    expect(flag(command, '--listen')).toBe(`0.0.0.0:${portsOf('gtin-service')[0]}`)
  }
})

test('the proxies take their settings, publish both ports, and the admin port to this machine alone', () => {
  const published = built('banyan').flatMap(([, service]) => service.ports ?? [])
  expect(new Set(published.map((port) => port.replace(/:\d+$/, ''))).size).toBe(published.length)
  for (const [, { environment, ports, volumes }] of built('banyan')) {
    const settings = readSettings([], given(environment))
    expect(settings.adminToken).toBe(SECRETS.BANYAN_ADMIN_TOKEN)
    expect([settings.trustedProxies, settings.clientScheme], 'nothing is in front, unless the shell says so').toEqual([
      [],
      null,
    ])
    const [reader] = readTokens(settings.adminTokens)
    expect(reader).toMatchObject({ name: 'prometheus', scope: 'read' })
    expect(settings.redis?.nodes).toEqual([{ host: 'redis', port: 6379 }])
    expect(settings.cluster).toMatchObject({ name: 'demo', redis: { nodes: [{ host: 'cluster-redis', port: 6379 }] } })
    // The third one is for TLS, which is not switched on here.
    expect(ports?.map((port) => Number(port.split(':').at(-1)))).toEqual(portsOf('banyan').slice(0, 2))
    expect(settings.admin.port).toBe(portsOf('banyan')[1])
    expect(ports?.[1]).toMatch(/^127\.0\.0\.1:/)
    expect(volumes).toEqual(['./compose:/etc/banyan'])
  }
  const states = built('banyan').map(([, { environment }]) => readSettings([], given(environment)).state)
  expect(new Set(states).size, 'a folder has one owner, and both make changes').toBe(states.length)
  for (const state of states) expect(state).toMatch(/^\/etc\/banyan\//)
  for (const secret of Object.keys(SECRETS)) expect(textOf('deploy/compose.yaml')).toContain(`${secret}:?`)
})

test('what is for people at this machine is published to this machine alone', () => {
  for (const name of ['redis', 'cluster-redis', 'prometheus', 'grafana']) {
    for (const port of named(name).ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/)
  }
  for (const name of ['redis', 'cluster-redis']) expect(named(name).ports).toBeUndefined()
})

test('the Redis of the cluster evicts nothing, has all of it on disk, and stays within its limit', () => {
  const { command, deploy, user, volumes } = named('cluster-redis')
  expect([flag(command, '--appendonly'), flag(command, '--maxmemory-policy'), user]).toEqual([
    'yes',
    'noeviction',
    'redis',
  ])
  expect(volumes).toEqual([`cluster:${flag(command, '--dir')}`])
  expect(Number.parseInt(flag(command, '--maxmemory') as string, 10)).toBeLessThan(
    Number.parseInt(deploy.resources.limits.memory, 10),
  )
})

test('Redis keeps nothing on disk, never evicts the purges, and stays within its limit', () => {
  const { command, deploy, user } = named('redis')
  expect([flag(command, '--save'), flag(command, '--appendonly'), user]).toEqual(['', 'no', 'redis'])
  // What banyan stores expires, but for the stream of purges.
  expect(flag(command, '--maxmemory-policy')).toBe('volatile-lru')
  expect(Number.parseInt(flag(command, '--maxmemory') as string, 10)).toBeLessThan(
    Number.parseInt(deploy.resources.limits.memory, 10),
  )
})

test('Prometheus asks each proxy by address, with the token that may read', () => {
  const { entrypoint, command, volumes, tmpfs } = named('prometheus')
  expect(flag(command?.[0]?.split('='), '--config.file')).toBe('/etc/prometheus/compose.yml')
  expect(volumes).toContain('./prometheus:/etc/prometheus:ro')
  const { scrape_configs } = yamlOf('deploy/prometheus/compose.yml') as { scrape_configs: Scrape[] }
  const [proxies, scraped] = scrape_configs as [Scrape, Scrape]
  // By name they would get 403: the admin API answers to addresses.
  const { names, port } = proxies.dns_sd_configs?.[0] ?? expect.fail('no dns_sd_configs')
  expect([names, port]).toEqual([['banyan'], portsOf('banyan')[1]])
  const file = proxies.authorization?.credentials_file as string
  expect(entrypoint?.[2]).toContain(`> ${file} `)
  expect(tmpfs?.some((one) => file.startsWith(one.replace(/:.*/, '/')))).toBe(true)
  const services = gtins().map(([name]) => `${name}:${portsOf('gtin-service')[0]}`)
  expect(scraped.static_configs?.[0]?.targets).toEqual(services)
})

test('Grafana finds the figures and the dashboard', () => {
  const { volumes, environment } = named('grafana')
  const mounted = new Map(volumes?.map((volume) => volume.split(':') as [string, string]))
  for (const path of mounted.keys()) {
    if (path.startsWith('./')) expect(existsSync(join(PROJECT, 'deploy', path)), path).toBe(true)
  }
  const provisioning = 'deploy/grafana/provisioning'
  const { datasources } = yamlOf(`${provisioning}/datasources/prometheus.yaml`) as { datasources: { url: string }[] }
  expect(datasources.map(({ url }) => url)).toEqual(['http://prometheus:9090'])
  const { providers } = yamlOf(`${provisioning}/dashboards/banyan.yaml`) as {
    providers: { options: { path: string } }[]
  }
  const dashboard = mounted.get('./grafana/banyan.json')
  expect(dirname(dashboard as string)).toBe(providers[0]?.options.path)
  expect(environment?.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH).toBe(dashboard)
})

test('nobody is killed while it drains', () => {
  for (const [, { environment, stop_grace_period }] of built('banyan')) {
    const { drainDelayMs, drainTimeoutMs } = readSettings([], given(environment))
    expect(durationMs(stop_grace_period)).toBeGreaterThan(drainDelayMs + drainTimeoutMs)
  }
  // gtin-service drains for 1s and 10s by default, legacy-mock for 10s.
  for (const [, service] of built('gtin-service')) expect(durationMs(service.stop_grace_period)).toBeGreaterThan(11_000)
  for (const [, service] of built('legacy-mock')) expect(durationMs(service.stop_grace_period)).toBeGreaterThan(10_000)
})
