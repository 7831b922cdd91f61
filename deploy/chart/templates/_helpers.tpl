{{/* The release's name in front of everything, once. */}}
{{- define "meshproof.fullname" -}}
{{- if contains "meshproof" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-meshproof" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a component: (dict "root" $ "component" "operator"). */}}
{{- define "meshproof.selector" -}}
app.kubernetes.io/name: meshproof
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/ */}}
{{- define "meshproof.labels" -}}
{{ include "meshproof.selector" . }}
app.kubernetes.io/part-of: meshproof
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An image of ours: (dict "root" $ "name" "meshproof-operator"). */}}
{{- define "meshproof.image" -}}
{{- $tag := .root.Values.tag | default .root.Chart.AppVersion -}}
{{- if .root.Values.registry -}}
{{- printf "%s/%s:%s" (trimSuffix "/" .root.Values.registry) .name $tag -}}
{{- else -}}
{{- printf "%s:%s" .name $tag -}}
{{- end -}}
{{- end -}}

{{/* Restricted pod security: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted */}}
{{- define "meshproof.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "meshproof.containerSecurity" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
{{- end -}}

{{/* What a pod has beside its containers: (dict "root" $ "values" .Values.operator). */}}
{{- define "meshproof.placed" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
  # not for long on a node that is gone: what a Deployment has elsewhere is soon there again
  - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 10 }
  - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 10 }
  {{- with .values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The zones of signaling as a list, with "" for a server anywhere. */}}
{{- define "meshproof.signalingName" -}}
{{- $name := printf "%s-signaling" (include "meshproof.fullname" .root) -}}
{{- if .zone }}{{ printf "%s-%s" $name .zone }}{{ else }}{{ $name }}{{ end -}}
{{- end -}}

{{/* What a probe asks of our health endpoints. */}}
{{- define "meshproof.probes" -}}
readinessProbe:
  httpGet: { path: /readyz, port: health }
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  httpGet: { path: /healthz, port: health }
  periodSeconds: 10
  timeoutSeconds: 3
{{- end -}}

{{/* Rights over what belongs to a pool; with the zone reporters', as who makes a role has to have its rights. */}}
{{- define "meshproof.poolRules" -}}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [create, patch, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch, delete]
# a pod that does not stay up is started anew
- apiGroups: [""]
  resources: [pods]
  verbs: [delete]
{{- end -}}

{{/* A CIDR as its first and last address, as coturn reads ranges: 10.42.0.0/16 is 10.42.0.0-10.42.255.255. */}}
{{- define "meshproof.range" -}}
{{- $parts := splitList "/" . -}}
{{- $octets := splitList "." (first $parts) -}}
{{- $address := 0 -}}
{{- range $octets }}{{ $address = add (mul $address 256) (int .) }}{{ end -}}
{{- $size := 1 -}}
{{- range until (int (sub 32 (last $parts | int))) }}{{ $size = mul $size 2 }}{{ end -}}
{{- $start := sub $address (mod $address $size) -}}
{{- include "meshproof.address" $start }}-{{ include "meshproof.address" (sub (add $start $size) 1) -}}
{{- end -}}

{{- define "meshproof.address" -}}
{{- printf "%d.%d.%d.%d" (mod (div . 16777216) 256) (mod (div . 65536) 256) (mod (div . 256) 256) (mod . 256) -}}
{{- end -}}
