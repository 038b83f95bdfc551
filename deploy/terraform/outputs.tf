output "objects" {
  description = "What the stack consists of, as kustomize names it."
  value       = data.kustomization_overlay.stack.ids
}
