@echo off
rem Drop clips onto this file: each is restored to NAME_x4.mkv beside it, with its sound.
rem Another encoder: set SBV_ENCODER=-c:v hevc_nvenc -cq 18
setlocal
chcp 65001 >nul
if "%~1"=="" (
    echo Drop a clip onto this file, or run it with one: %~nx0 clip.mp4
    pause
    exit /b 2
)
if not defined SBV_ENCODER set SBV_ENCODER=-c:v libx264 -crf 16
:next
"%~dp0ffmpeg.exe" -hide_banner -i "%~1" -map 0:v:0 -map 0:a? -vf selfblindvsr %SBV_ENCODER% -c:a copy "%~dpn1_x4.mkv"
if errorlevel 1 (
    echo Not restored: "%~1"
    pause
    exit /b 1
)
shift
if not "%~1"=="" goto next
