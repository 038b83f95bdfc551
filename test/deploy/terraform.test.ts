/**
 * deploy/terraform/: read by HashiCorp's own parser; its variables, files and images against what is there. Whether the
 * providers take it, nobody can tell without them.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from '@cdktn/hcl2json'
import { expect, test } from 'vitest'
import { PROJECT, textOf } from './project.ts'

const FOLDER = 'deploy/terraform'
const files = readdirSync(join(PROJECT, FOLDER)).filter((file) => file.endsWith('.tf'))
const text = files.map((file) => textOf(`${FOLDER}/${file}`)).join('\n')

interface Module {
  readonly variable: Record<string, readonly { readonly description?: string; readonly default?: unknown }[]>
  readonly data: Record<string, Record<string, readonly { readonly resources: readonly string[] }[]>>
  readonly resource: Record<string, Record<string, unknown>>
  readonly terraform: readonly { readonly required_providers: readonly Record<string, unknown>[] }[]
}

const module = (await parse('module.tf', text)) as unknown as Module

test('every variable says what it is, is used, and every used one is there', () => {
  const used = new Set([...text.matchAll(/\bvar\.(\w+)/g)].map(([, name]) => name))
  expect(Object.keys(module.variable).toSorted()).toEqual([...used].toSorted())
  for (const [variable] of Object.values(module.variable)) expect(variable?.description).toMatch(/\w/)
})

test('the overlays that it applies are there, one for each color', () => {
  const path = module.data.kustomization_overlay?.stack?.[0]?.resources[0] ?? ''
  for (const color of ['blue', 'green']) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: HCL's own syntax.
    const folder = path.replace('${path.module}', FOLDER).replace('${var.color}', color)
    expect(existsSync(join(PROJECT, folder, 'kustomization.yaml')), folder).toBe(true)
  }
})

test('the secret is the one that the pods take their tokens from', () => {
  const [secret] = (module.resource.kubernetes_secret_v1?.admin ?? []) as {
    metadata: [{ name: string }]
    data: object
  }[]
  const used = textOf('deploy/kubernetes/base/banyan.yaml').matchAll(
    /secretKeyRef: \{ name: banyan-admin, key: (\S+) \}/g,
  )
  expect(secret?.metadata[0].name).toBe('banyan-admin')
  expect(Object.keys(secret?.data ?? {}).toSorted()).toEqual([...used].map(([, key]) => key).toSorted())
})

test('every provider of a resource is asked for', () => {
  const providers = Object.keys(module.terraform[0]?.required_providers[0] ?? {})
  for (const type of [...Object.keys(module.resource), ...Object.keys(module.data)]) {
    expect(providers).toContain(type.slice(0, type.indexOf('_')))
  }
})

test('the images are those of the stacks', () => {
  const said = /for_each = toset\((\[.*\])\)/.exec(text)?.[1] ?? '[]'
  const stacks = [
    ...textOf('deploy/kubernetes/overlays/blue/kustomization.yaml').matchAll(/- name: (banyan|gtin-service)$/gm),
  ]
  expect(JSON.parse(said)).toEqual(stacks.map(([, name]) => name))
})
