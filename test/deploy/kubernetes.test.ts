/**
 * deploy/kubernetes/: by the published schemas, and its names, labels, ports, probes and times against each other.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'
import { Deployment } from 'kubernetes-models/apps/v1'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2'
import { CronJob } from 'kubernetes-models/batch/v1'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { ConfigMap, PersistentVolumeClaim, Service } from 'kubernetes-models/v1'
import { describe, expect, test } from 'vitest'
import { readCommandLine } from '../../gtin-service/settings.ts'
import { readSyncCommandLine } from '../../gtin-service/sync/main.ts'
import { findProgram } from '../../scripts/need-tools.ts'
import { readTable } from '../../src/rules/language/text.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { readDockerfile } from './dockerfile.ts'
import { documentsIn, documentsOf, PROJECT, textOf } from './project.ts'
import { chooses, containerOf, environmentOf, type Manifest, named, ofKind, podOf, portOf, stackOf } from './stack.ts'

const FOLDER = 'deploy/kubernetes'
const COLORS = ['blue', 'green'] as const
const MODELS: Record<string, new (data: never) => { validate(): void }> = {
  ConfigMap,
  CronJob,
  Deployment,
  HorizontalPodAutoscaler,
  NetworkPolicy,
  PersistentVolumeClaim,
  PodDisruptionBudget,
  Service,
  ServiceMonitor,
}

const front = stackOf(`${FOLDER}/front`)
const legacy = stackOf(`${FOLDER}/legacy`)
const monitoring = stackOf(`${FOLDER}/monitoring`)
const stages = readDockerfile(PROJECT).stages

function exposedBy(target: string): number[] {
  const steps = stages.find((stage) => stage.name === target)?.steps ?? []
  return steps.filter((step) => step.keyword === 'EXPOSE').flatMap((step) => step.words.map(Number))
}

describe.each(COLORS)('%s', (color) => {
  const stack = stackOf(`${FOLDER}/overlays/${color}`)
  const all = [...stack, ...front, ...legacy, ...monitoring]
  const deployments = ofKind(all, 'Deployment')
  const banyan = named(stack, 'Deployment', `banyan-${color}`)
  const gtin = named(stack, 'Deployment', `gtin-${color}`)
  const redis = named(stack, 'Deployment', `cluster-redis-${color}`)
  const settings = readSettings([], environmentOf(banyan))

  test.each(all.map((object) => [object.kind, object.metadata.name, object] as const))(
    '%s %s is what its published schema allows',
    (kind, _, object) => {
      const Model = MODELS[kind] ?? expect.fail(`no schema for ${kind}`)
      new Model(object as never).validate()
    },
  )

  test('every object bears the color, in name and labels', () => {
    for (const { metadata } of stack) {
      expect(metadata.name).toMatch(new RegExp(`-${color}$`))
      expect(metadata.labels?.['banyan/color']).toBe(color)
    }
  })

  test('each selector chooses the pods of one deployment', () => {
    for (const deployment of deployments) {
      expect(deployments.filter((one) => chooses(deployment.spec.selector.matchLabels, one))).toEqual([deployment])
    }
    const services = ofKind(all, 'Service').filter(({ metadata }) => metadata.name !== 'banyan')
    const selectors = [
      ...services.map((one) => one.spec.selector),
      ...ofKind(all, 'PodDisruptionBudget').map((one) => one.spec.selector.matchLabels),
      ...ofKind(all, 'NetworkPolicy').map((one) => one.spec.podSelector.matchLabels),
    ]
    for (const selector of selectors) expect(deployments.filter((one) => chooses(selector, one))).toHaveLength(1)
  })

  test('each port of a service is one that its pods have, and the image listens on', () => {
    for (const service of ofKind([...stack, ...legacy], 'Service')) {
      const deployment = deployments.find((one) => chooses(service.spec.selector, one)) as Manifest
      const image = containerOf(deployment).image.split(':')[0]
      for (const { port, targetPort } of service.spec.ports) {
        expect(port).toBe(portOf(deployment, targetPort))
        if (deployment !== redis) expect(exposedBy(image)).toContain(port)
      }
    }
  })

  test('the table is valid, and its servers are services at their ports', () => {
    const text = named(stack, 'ConfigMap', `banyan-table-${color}`).data['routes.yaml']
    const read = readTable(text, 'routes.yaml')
    if (!read.ok) throw new Error(JSON.stringify(read.problems))
    expect(read.warnings).toEqual([])
    for (const { hostname, port } of [...read.table.upstreams.values()].flatMap((upstream) => upstream.servers)) {
      expect(
        named([...stack, ...legacy], 'Service', hostname).spec.ports.map((one: { port: number }) => one.port),
      ).toEqual([port])
    }
  })

  test('the proxy reads it where it is mounted, as a folder, so that an edit arrives', () => {
    const { volumeMounts } = containerOf(banyan)
    const { volumes } = podOf(banyan)
    expect(volumes).toEqual([{ name: 'table', configMap: { name: `banyan-table-${color}` } }])
    expect(volumeMounts).toEqual([{ name: 'table', mountPath: '/etc/banyan', readOnly: true }])
    const env = stages
      .at(-1)
      ?.steps.filter((step) => step.keyword === 'ENV')
      .flatMap((step) => step.pairs)
    expect(Object.fromEntries(env ?? []).BANYAN_TABLE).toBe('/etc/banyan/routes.yaml')
  })

  test('the admin port is where the probes ask, needs a token, and is no port of the public service', () => {
    expect(settings.admin).toEqual({ host: '0.0.0.0', port: portOf(banyan, 'admin') })
    expect(settings.adminToken).not.toBeNull()
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
      expect(containerOf(banyan)[probe].httpGet).toEqual({
        path: probe === 'livenessProbe' ? '/livez' : '/readyz',
        port: 'admin',
      })
    }
    expect(front.flatMap((one) => one.spec.ports).map((port) => port.targetPort)).toEqual(['public'])
    const { ingress } = named(stack, 'NetworkPolicy', `banyan-${color}`).spec
    const open = ingress.filter((rule: { from?: unknown }) => rule.from === undefined)
    expect(open).toEqual([{ ports: [{ protocol: 'TCP', port: 'public' }] }])
  })

  test('no pod is killed while it drains', () => {
    const { terminationGracePeriodSeconds } = podOf(banyan)
    const preStopMs = containerOf(banyan).lifecycle.preStop.sleep.seconds * 1000
    expect(terminationGracePeriodSeconds * 1000).toBeGreaterThan(
      preStopMs + settings.drainDelayMs + settings.drainTimeoutMs,
    )
    const asked = readCommandLine(containerOf(gtin).args)
    const { port, drainDelayMs, drainTimeoutMs } = asked
    expect(podOf(gtin).terminationGracePeriodSeconds * 1000).toBeGreaterThan(drainDelayMs + drainTimeoutMs)
    expect(port).toBe(portOf(gtin, 'http'))
    // It has to be seen as not ready before it closes.
    expect(drainDelayMs).toBeGreaterThan(containerOf(gtin).readinessProbe.periodSeconds * 1000)
    expect(settings.drainDelayMs).toBeGreaterThan(containerOf(banyan).readinessProbe.periodSeconds * 1000)
  })

  test('a sync of its own brings the data that its GTIN services read, on the node that has the volume', () => {
    const { spec } = named(stack, 'CronJob', `gtin-sync-${color}`)
    const pod = spec.jobTemplate.spec.template
    const [container] = pod.spec.containers
    const asked = readSyncCommandLine(container.args.slice(1))
    const { from, folder: data, everyMs } = asked
    expect([container.args[0], from.href, everyMs]).toEqual(['sync', 'http://legacy:4001/', null])
    expect(spec.concurrencyPolicy).toBe('Forbid')
    expect(container.image).toBe(containerOf(gtin).image)
    const served = readCommandLine(containerOf(gtin).args)
    expect(served).toMatchObject({ data, staleAfterMs: expect.any(Number) })
    const claim = named(stack, 'PersistentVolumeClaim', `gtin-data-${color}`)
    for (const { containers, volumes, affinity, securityContext } of [pod.spec, podOf(gtin)]) {
      expect(volumes).toEqual([{ name: 'data', persistentVolumeClaim: { claimName: claim.metadata.name } }])
      expect(containers[0].volumeMounts).toEqual([{ name: 'data', mountPath: data }])
      expect(containers[0].resources.limits.memory).toBe('1Gi')
      expect(securityContext).toMatchObject({ runAsNonRoot: true, fsGroup: securityContext.runAsGroup })
      expect(containers[0].securityContext).toMatchObject({ readOnlyRootFilesystem: true })
      const [near] = affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution
      expect(near.topologyKey).toBe('kubernetes.io/hostname')
      // By hand in a CronJob, whose selectors kustomize leaves alone.
      const byColor = near.labelSelector.matchLabels['banyan/color'] === color
      expect(byColor || near.matchLabelKeys[0] === 'banyan/color').toBe(true)
    }
    for (const { metadata } of [pod, gtin.spec.template]) {
      expect(metadata.labels).toMatchObject({ 'gtin-data': 'mounted', 'banyan/color': color })
    }
    // Ready when there is data, and not restarted for having none.
    expect(containerOf(gtin).startupProbe.tcpSocket).toBeDefined()
    expect(containerOf(gtin).livenessProbe.tcpSocket).toBeDefined()
    expect(containerOf(gtin).readinessProbe.httpGet.path).toBe('/stores/health/gtins/check')
  })

  test('the pods are one cluster, on a Redis that evicts nothing and has a volume, and follow their ConfigMap', () => {
    expect(settings.cluster).toMatchObject({ name: `banyan-${color}`, follow: 'keep-percents' })
    const { host, port } = settings.cluster?.redis.nodes[0] ?? { host: '', port: 0 }
    expect([host, port]).toEqual([redis.metadata.name, portOf(redis, 'redis')])
    expect(named(stack, 'Service', host).spec.ports.map((one: { port: number }) => one.port)).toEqual([port])
    const args = containerOf(redis).args as string[]
    const flagOf = (flag: string) => args[args.indexOf(flag) + 1]
    expect([flagOf('--appendonly'), flagOf('--maxmemory-policy')]).toEqual(['yes', 'noeviction'])
    expect(containerOf(redis).volumeMounts).toEqual([{ name: 'data', mountPath: flagOf('--dir') }])
    const claim = named(stack, 'PersistentVolumeClaim', `cluster-redis-${color}`).metadata.name
    expect(podOf(redis).volumes).toEqual([{ name: 'data', persistentVolumeClaim: { claimName: claim } }])
    expect([redis.spec.replicas, redis.spec.strategy.type]).toEqual([1, 'Recreate'])
    const [rule] = named(stack, 'NetworkPolicy', `cluster-redis-${color}`).spec.ingress
    expect(rule.from).toEqual([{ podSelector: { matchLabels: banyan.spec.selector.matchLabels } }])
  })

  test('a roll never has fewer pods than before, and an eviction takes one at a time', () => {
    for (const deployment of [banyan, gtin]) expect(deployment.spec.strategy.rollingUpdate.maxUnavailable).toBe(0)
    for (const budget of ofKind(stack, 'PodDisruptionBudget')) expect(budget.spec.maxUnavailable).toBe(1)
    const { scaleTargetRef, minReplicas } = named(stack, 'HorizontalPodAutoscaler', `banyan-${color}`).spec
    expect([scaleTargetRef.name, minReplicas, banyan.spec.replicas]).toEqual([`banyan-${color}`, 2, undefined])
  })

  test('every container is unprivileged, on a read-only file system, and takes no variable made of a service', () => {
    for (const deployment of deployments) {
      const { securityContext, enableServiceLinks, automountServiceAccountToken } = podOf(deployment)
      expect([securityContext.runAsNonRoot, enableServiceLinks, automountServiceAccountToken]).toEqual([
        true,
        false,
        false,
      ])
      expect(containerOf(deployment).securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      const { version } = JSON.parse(textOf('package.json'))
      expect(containerOf(deployment).image).toMatch(deployment === redis ? /^redis:8/ : new RegExp(`:${version}$`))
    }
  })
})

test('blue and green differ in their color alone', () => {
  for (const file of ['routes.yaml', 'kustomization.yaml']) {
    const [blue, green] = COLORS.map((color) =>
      textOf(`${FOLDER}/overlays/${color}/${file}`).replaceAll(color, 'COLOR'),
    )
    expect(blue).toBe(green)
  }
})

test('the public service chooses one stack by its color', () => {
  const [service] = front as [Manifest]
  for (const color of COLORS) {
    const stack = stackOf(`${FOLDER}/overlays/${color}`)
    const selector = { ...service.spec.selector, 'banyan/color': color }
    expect(ofKind(stack, 'Deployment').filter((one) => chooses(selector, one))).toHaveLength(1)
  }
  expect(COLORS).toContain(service.spec.selector['banyan/color'])
})

test.each(['overlays/blue', 'overlays/green', 'front', 'legacy', 'monitoring'])(
  '%s is read here as kubectl reads it, where there is one to ask',
  (folder) => {
    if (findProgram('kubectl') === null) return
    const done = spawnSync('kubectl', ['kustomize', join(PROJECT, FOLDER, folder)], { encoding: 'utf8' })
    expect(done.stderr).toBe('')
    const byName = (a: Manifest, b: Manifest) =>
      `${a.kind} ${a.metadata.name}`.localeCompare(`${b.kind} ${b.metadata.name}`)
    expect(stackOf(`${FOLDER}/${folder}`).toSorted(byName)).toEqual(
      (documentsIn(done.stdout) as Manifest[]).toSorted(byName),
    )
  },
)

test('every file is part of a kustomization', () => {
  for (const folder of ['base', 'front', 'legacy', 'monitoring']) {
    const [{ resources }] = documentsOf(`${FOLDER}/${folder}/kustomization.yaml`) as [{ resources: string[] }]
    const files = readdirSync(join(PROJECT, FOLDER, folder)).filter((file) => file !== 'kustomization.yaml')
    expect(resources.toSorted()).toEqual(files.toSorted())
  }
})
