{{- define "moldau.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "moldau.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "moldau.labels" -}}
{{ include "moldau.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "moldau.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "moldau.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "moldau.metadataSecret" -}}
{{- .Values.metadata.existingSecret | default (printf "%s-metadata" (include "moldau.name" .)) -}}
{{- end -}}

{{- /* Keys that the chart sets itself are refused in `settings`. */ -}}
{{- define "moldau.properties" -}}
{{- $ours := list "listeners" "advertised.listeners" "listener.security.protocol.map" "node.id" "broker.id" "moldau.metadata.url" "moldau.blobs.url" "moldau.http.listener" -}}
{{- range $key, $value := .Values.settings }}
{{- if has $key $ours }}{{ fail (printf "settings.%s: the chart sets it itself" $key) }}{{ end }}
{{- if kindIs "float64" $value }}{{ $value = int64 $value }}{{ end }}
{{ $key }}={{ $value }}
{{- end }}
{{- end -}}
