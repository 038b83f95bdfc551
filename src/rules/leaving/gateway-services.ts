/**
 * Upstreams as Kubernetes has them: Services without a selector, whose endpoints are the servers of the table.
 */
import type { Server, Upstream } from '../table/table.ts'
import type { Plain } from '../values/plain.ts'
import type { Names, Notes } from './notes.ts'

/** A Service, and its part of the upstream's requests. */
export interface BackendService {
  readonly name: string
  readonly port: number
  /** Above 0, at most 1. */
  readonly part: number
  readonly objects: readonly Plain[]
}

/** The Services of an upstream: one, or one a server where their weights or kinds of address differ. */
export function servicesOf({ servers: all, name }: Upstream, names: Names): BackendService[] {
  const servers = all.filter(({ socketPath }) => socketPath === null)
  const [first] = servers
  const alike = servers.every(
    (one) =>
      one.weight === first?.weight && isAddress(one) && one.hostname.includes(':') === first?.hostname.includes(':'),
  )
  if (alike) return [serviceOf(servers, names.take(labelOf(name)), 1)]
  const total = servers.reduce((sum, { weight }) => sum + weight, 0)
  return servers.map((server) =>
    serviceOf([server], names.take(labelOf(`${name}-${server.id}`)), server.weight / total),
  )
}

function isAddress({ hostname }: Server): boolean {
  return /^[0-9.]+$|:/.test(hostname)
}

function serviceOf(servers: readonly Server[], name: string, part: number): BackendService {
  const [first] = servers
  const port = first?.port ?? 80
  const metadata = { name }
  if (first !== undefined && !isAddress(first)) {
    const spec = {
      type: 'ExternalName',
      externalName: first.hostname.replace(/\.$/, ''),
      ports: [{ name: 'http', port }],
    }
    return { name, port, part, objects: [{ apiVersion: 'v1', kind: 'Service', metadata, spec }] }
  }
  const ports = [{ name: 'http', protocol: 'TCP', port }]
  const slices = [...Map.groupBy(servers, (server) => server.port)].map(([own, alike], at) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${at + 1}`, labels: { 'kubernetes.io/service-name': name } },
    addressType: first?.hostname.includes(':') === true ? 'IPv6' : 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: own }],
    endpoints: alike.map(({ hostname }) => ({ addresses: [hostname] })),
  }))
  return { name, port, part, objects: [{ apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } }, ...slices] }
}

/** A name as a label of DNS (RFC 1035 section 2.3.1), with room for a number behind it. */
export function labelOf(name: string): string {
  const label = name.toLowerCase().replace(/[^a-z0-9]+/g, '-')
  return (/^[a-z]/.test(label) ? label : `x-${label}`).slice(0, 50).replace(/-+$/, '')
}

/** Notes what an upstream loses. */
export function noteGatewayUpstream(upstream: Upstream, notes: Notes): void {
  const { name, servers, host, document } = upstream
  const at = ['upstreams', name]
  if (servers.length === 0) notes.add([...at, 'servers'], 'no server is known: give the Service a selector')
  if (servers.some(({ socketPath }) => socketPath !== null))
    notes.add([...at, 'servers'], 'a Unix socket is no endpoint: these servers are left out')
  if (servers.some(({ tls }) => tls)) notes.add([...at, 'servers'], 'TLS to servers needs a BackendTLSPolicy')
  if (servers.some((server) => server.socketPath === null && !isAddress(server)))
    notes.add([...at, 'servers'], 'a host name is a Service of type ExternalName, which not every implementation takes')
  if (host === 'upstream') notes.add([...at, 'host'], 'Host is sent as received')
  for (const key of ['headers', 'total'] as const) {
    if (document.timeouts?.[key] !== undefined)
      notes.add([...at, 'timeouts', key], 'the time-out is that of the whole response, not of its headers')
  }
}
