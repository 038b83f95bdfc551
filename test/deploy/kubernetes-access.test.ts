/**
 * deploy/kubernetes/: who asks the admin API with which token, what Prometheus scrapes, and where the shared cache is.
 */
import { describe, expect, test } from 'vitest'
import { readTokens } from '../../src/control/access/tokens.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { yamlOf } from './project.ts'
import { containerOf, environmentOf, type Manifest, named, ofKind, secretOf, stackOf, type Variable } from './stack.ts'

const FOLDER = 'deploy/kubernetes'
const monitoring = stackOf(`${FOLDER}/monitoring`)
const front = stackOf(`${FOLDER}/front`)

describe.each(['blue', 'green'])('%s', (color) => {
  const stack = stackOf(`${FOLDER}/overlays/${color}`)
  const banyan = named(stack, 'Deployment', `banyan-${color}`)
  const settings = readSettings([], environmentOf(banyan))

  test('its tokens come from the secret: one that may write, and one for Prometheus that may read', () => {
    expect(settings.adminToken).toBe(secretOf('banyan-admin', 'token'))
    const [reader, ...others] = readTokens(settings.adminTokens)
    expect(reader).toMatchObject({ name: 'prometheus', scope: 'read' })
    expect(settings.adminTokens).toBe(`prometheus:read:${secretOf('banyan-admin', 'read-token')}`)
    expect(others).toEqual([])
  })

  test('it caches in memory where no secret says where Redis is, and starts without one', () => {
    expect(settings.redis).toBeNull()
    const variables = containerOf(banyan).env as Variable[]
    const secret = variables.find(({ name }) => name === 'BANYAN_REDIS')?.valueFrom?.secretKeyRef
    expect(secret).toEqual({ name: 'banyan-redis', key: 'url', optional: true })
    expect(readSettings([], { BANYAN_REDIS: 'redis://:secret@redis:6379' }).redis).not.toBeNull()
  })

  test('what lies in the Redis of its cluster is sealed where there is a secret', () => {
    expect(settings.cluster?.secrets).toEqual([])
    const variables = containerOf(banyan).env as Variable[]
    const secret = variables.find(({ name }) => name === 'BANYAN_CLUSTER_SECRET')?.valueFrom?.secretKeyRef
    expect(secret).toEqual({ name: 'banyan-cluster', key: 'secret', optional: true })
  })

  test('what is in front of it is said by a ConfigMap, and nobody is trusted without one', () => {
    expect([settings.trustedProxies, settings.clientScheme]).toEqual([[], null])
    const variables = containerOf(banyan).env as Variable[]
    const keyOf = (name: string) => variables.find((one) => one.name === name)?.valueFrom?.configMapKeyRef
    expect(keyOf('BANYAN_TRUSTED_PROXIES')).toEqual({ name: 'banyan-front', key: 'trusted-proxies', optional: true })
    expect(keyOf('BANYAN_CLIENT_SCHEME')).toEqual({ name: 'banyan-front', key: 'client-scheme', optional: true })
  })

  test('its workers are said, as nothing else bounds them, and have the memory that they may use', () => {
    const { limits } = containerOf(banyan).resources
    expect(limits.cpu).toBeUndefined()
    expect((containerOf(banyan).env as Variable[]).some(({ name }) => name === 'BANYAN_WORKERS')).toBe(true)
    const processMiB = 120
    const cacheMiB = settings.memoryCacheBytes / 1024 ** 2
    const needMiB = processMiB + cacheMiB + settings.workers * (processMiB + cacheMiB)
    expect(Number.parseInt(limits.memory, 10)).toBeGreaterThan(needMiB)
  })

  test('it keeps no revisions in a folder that it can’t write to', () => {
    expect(containerOf(banyan).volumeMounts[0]).toMatchObject({ name: 'table', readOnly: true })
    expect(settings.keepRevisions).toBe(0)
  })

  test.each(ofKind(monitoring, 'ServiceMonitor').map((monitor) => [monitor.metadata.name, monitor] as const))(
    'what %s scrapes is one service of the stack, at a port that it has, and Prometheus is let in',
    (name, monitor) => {
      const wanted = Object.entries(monitor.spec.selector.matchLabels)
      const has = ({ metadata }: Manifest) => wanted.every(([label, value]) => metadata.labels?.[label] === value)
      const services = ofKind([...stack, ...front], 'Service').filter(has)
      expect(services).toHaveLength(1)
      const [endpoint] = monitor.spec.endpoints
      expect(services[0]?.spec.ports.map((port: { name: string }) => port.name)).toContain(endpoint.port)
      const { ingress } = named(stack, 'NetworkPolicy', `${name}-${color}`).spec
      const prometheus = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }
      const rules = ingress.filter((rule: { ports: { port: string }[] }) => rule.ports[0]?.port === endpoint.port)
      expect(rules.flatMap((rule: { from: unknown[] }) => rule.from)).toContainEqual(prometheus)
    },
  )
})

test('Prometheus shows the token that may read, and calls the job what the alerts call it', () => {
  const { spec } = named(monitoring, 'ServiceMonitor', 'banyan')
  expect(spec.endpoints[0].authorization).toEqual({
    type: 'Bearer',
    credentials: { name: 'banyan-admin', key: 'read-token' },
  })
  const blue = stackOf(`${FOLDER}/overlays/blue`)
  const jobOf = (monitor: string, service: string): string | undefined =>
    named(blue, 'Service', service).metadata.labels?.[named(monitoring, 'ServiceMonitor', monitor).spec.jobLabel]
  const { groups } = yamlOf('deploy/prometheus/alerts.yml') as { groups: { rules: { expr: string }[] }[] }
  const jobs = groups.flatMap(({ rules }) => rules.flatMap(({ expr }) => /job="([^"]+)"/.exec(expr)?.[1] ?? []))
  expect(new Set(jobs)).toEqual(new Set([jobOf('banyan', 'banyan-admin-blue'), jobOf('gtin', 'gtin-blue')]))
})
