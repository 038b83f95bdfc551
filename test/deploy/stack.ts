/**
 * A kustomization as the objects that it makes, for the few things that deploy/kubernetes/ uses of kustomize.
 */
import { join } from 'node:path'
import { documentsOf, textOf, yamlOf } from './project.ts'

/** A Kubernetes object, as far as this has to look into all kinds alike. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { name: string; labels?: Record<string, string> }
  // biome-ignore lint/suspicious/noExplicitAny: each kind has a shape of its own, which the schemas check.
  readonly [key: string]: any
}

interface Kustomization {
  readonly resources: readonly string[]
  readonly nameSuffix?: string
  readonly labels?: readonly { readonly pairs: Record<string, string>; readonly includeSelectors: boolean }[]
  readonly configMapGenerator?: readonly { readonly name: string; readonly files: readonly string[] }[]
  readonly images?: readonly { readonly name: string; readonly newTag: string }[]
}

const KNOWN = ['apiVersion', 'kind', 'resources', 'nameSuffix', 'labels', 'configMapGenerator', 'images']

/** The keys under which labels choose pods, and where a name stands for another object of the same stack. */
const SELECTORS = ['selector', 'podSelector', 'labelSelector']

/**
 * What `kubectl kustomize FOLDER` prints, as objects.
 * @throws {Error} a key of the kustomization that this does not know
 */
export function stackOf(folder: string): Manifest[] {
  const file = join(folder, 'kustomization.yaml')
  const said = yamlOf(file) as Kustomization
  const unknown = Object.keys(said).filter((key) => !KNOWN.includes(key))
  if (unknown.length > 0) throw new Error(`${file}: ${unknown.join(', ')}: not known here`)
  const objects = said.resources.flatMap((resource) => {
    const path = join(folder, resource)
    return resource.endsWith('.yaml') ? (documentsOf(path) as Manifest[]) : stackOf(path)
  })
  for (const { name, files } of said.configMapGenerator ?? []) {
    const data = Object.fromEntries(files.map((one) => [one, textOf(join(folder, one))]))
    objects.push({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data })
  }
  for (const { pairs } of said.labels ?? []) for (const object of objects) addLabels(object, pairs)
  if (said.nameSuffix !== undefined) addSuffix(objects, said.nameSuffix)
  for (const image of said.images ?? []) for (const object of objects) setTag(object, image)
  return objects
}

function addLabels(object: Manifest, pairs: Record<string, string>): void {
  object.metadata.labels = { ...object.metadata.labels, ...pairs }
  eachNode(object.spec, (node, key) => {
    if (key === 'metadata') node.labels = { ...node.labels, ...pairs }
    else if (!SELECTORS.includes(key) || object.kind === 'CronJob') return
    else if (node.matchLabels !== undefined) node.matchLabels = { ...node.matchLabels, ...pairs }
    else if (object.kind === 'Service') Object.assign(node, pairs)
  })
}

/** Names of the stack's own objects, and the places that refer to one. */
function addSuffix(objects: readonly Manifest[], suffix: string): void {
  const own = new Set(objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`))
  for (const object of objects) {
    object.metadata.name += suffix
    eachNode(object.spec, (node, key) => {
      if (key === 'persistentVolumeClaim' && own.has(`PersistentVolumeClaim ${node.claimName}`))
        node.claimName += suffix
      const kind = key === 'configMap' ? 'ConfigMap' : key === 'scaleTargetRef' ? node.kind : null
      if (kind !== null && own.has(`${kind} ${node.name}`)) node.name += suffix
    })
  }
}

function setTag(object: Manifest, { name, newTag }: { name: string; newTag: string }): void {
  eachNode(object.spec, (node, key) => {
    if (key === 'containers' && node.image === name) node.image = `${name}:${newTag}`
  })
}

/** Every object within a value, with the key it stands under. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
function eachNode(value: any, visit: (node: any, key: string) => void, key = ''): void {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value) && key !== '') visit(value, key)
  for (const [name, inner] of Object.entries(value)) eachNode(inner, visit, Array.isArray(value) ? key : name)
}

/** The objects of a kind. */
export const ofKind = (objects: readonly Manifest[], kind: string): Manifest[] =>
  objects.filter((one) => one.kind === kind)

/** The object of a kind and name. @throws where there is none */
export function named(objects: readonly Manifest[], kind: string, name: string): Manifest {
  const found = ofKind(objects, kind).find((one) => one.metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}

/** The pods that a deployment makes, and their one container. */
export const podOf = (deployment: Manifest) => deployment.spec.template.spec
export const containerOf = (deployment: Manifest) => podOf(deployment).containers[0]

/** Whether a selector chooses the pods of a deployment. */
export function chooses(selector: Record<string, string>, deployment: Manifest): boolean {
  const { labels } = deployment.spec.template.metadata
  return Object.entries(selector).every(([label, value]) => labels[label] === value)
}

/** The port of a deployment's container by name. @throws where there is none */
export function portOf(deployment: Manifest, name: string): number {
  const ports = containerOf(deployment).ports as { name: string; containerPort: number }[]
  const found = ports.find((port) => port.name === name)
  if (found === undefined) throw new Error(`no port ${name}`)
  return found.containerPort
}

/** A variable of a container, with a value or taken from a secret. */
export interface Variable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly secretKeyRef?: { readonly name: string; readonly key: string; readonly optional?: boolean }
    readonly fieldRef?: { readonly fieldPath: string }
    readonly configMapKeyRef?: { readonly name: string; readonly key: string; readonly optional?: boolean }
  }
}

/** What is put in place of a secret's value. */
export const secretOf = (name: string, key: string): string => `value-of-${name}-${key}`

/**
 * The environment of a deployment's container, as the kubelet makes it: `$(NAME)` is an earlier variable, a field is a label, a secret that may be
 * missing is missing.
 */
export function environmentOf(deployment: Manifest): Record<string, string> {
  const made: Record<string, string> = {}
  for (const { name, value, valueFrom } of containerOf(deployment).env as Variable[]) {
    const secret = valueFrom?.secretKeyRef
    if (secret !== undefined && secret.optional !== true) made[name] = secretOf(secret.name, secret.key)
    const label = /^metadata\.labels\['(.+)'\]$/.exec(valueFrom?.fieldRef?.fieldPath ?? '')?.[1]
    if (label !== undefined) made[name] = deployment.spec.template.metadata.labels[label]
    if (value !== undefined) made[name] = value.replaceAll(/\$\((\w+)\)/g, (whole, other) => made[other] ?? whole)
  }
  return made
}
